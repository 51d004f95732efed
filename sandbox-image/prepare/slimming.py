"""Takes out what no program uses."""

import shutil
import struct
from pathlib import Path

# A quarter of the bytes and of the time to compile; no package imports its own.
TESTED = ["matplotlib", "networkx", "numpy", "pandas", "pyarrow", "scipy", "sklearn", "statsmodels", "sympy"]
# What speaks to servers, of which a sandbox reaches none, and what extensions in C++ are built with.
UNUSED = {
    "pyarrow": ["include", "includes", "src", "*.pxd", "*.pxi", "*.pyx", "libarrow_flight.*", "_flight.*",
                "libarrow_python_flight.*", "libarrow_s3.*", "_s3fs.*", "_pyarrow_cpp_tests.*"],
}  # fmt: skip


def remove_unused(site: Path) -> None:
    for package in TESTED:
        for tests in sorted((site / package).rglob("tests")):
            if tests.is_dir():
                shutil.rmtree(tests, ignore_errors=True)
    for package, patterns in UNUSED.items():
        for path in sorted({path for pattern in patterns for path in (site / package).glob(pattern)}):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Some wheels have no symbolic links, and one library three times.
    for path in sorted((site / "pyarrow").glob("libarrow*.so")):
        for copy in path.parent.glob(f"{path.name}.*"):
            if copy.name.count(".") > 2:
                copy.unlink()
        path.unlink()


def strip_libraries(site: Path) -> None:
    """Drops the symbols and debugging data at the end of shared libraries, as `strip` does, which not every base has."""
    for path in sorted(site.rglob("*.so*")):
        if path.is_file() and not path.is_symlink():
            with open(path, "r+b") as file:
                _strip(file)


def _strip(file) -> None:
    """Of an ELF file of 64 bits, everything after what is loaded: the section table, and what only that leads to."""
    header = file.read(64)
    if header[:6] != b"\x7fELF\x02\x01":
        return
    (at,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    file.seek(at)
    table = file.read(size * count)
    end = at + size * count
    for number in range(count):
        offset, length = struct.unpack_from("<Q16xQ", table, number * size + 8)
        end = max(end, offset + length)
    file.seek(40)
    file.write(bytes(8))
    file.seek(60)
    file.write(bytes(4))
    file.truncate(end)
