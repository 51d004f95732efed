"""Packages that open windows, which a sandbox has not, and those with the same modules that need no display."""

PACKAGES = {
    "opencv-python": "opencv-python-headless",
    "opencv-contrib-python": "opencv-contrib-python-headless",
}
_LIBRARIES = ("libGL.so.1", "libxcb.so.1")
"""What they load; which of them depends on their version."""


def find(names: set[str]) -> list[str]:
    """Returns the names of packages that cannot be imported here."""
    found = sorted(PACKAGES.keys() & names)
    return [] if not found or _have_libraries() else found


def tell(name: str, is_there: bool) -> tuple[str, str]:
    """The package that stands for it, and what is to be said of that."""
    other = PACKAGES[name]
    if is_there:
        return name, f"It needs a display's libraries, which a sandbox has not: install {other}, which has the same modules."
    return other, f"{other} was taken in its place: it has the same modules, and needs no display."


def _have_libraries() -> bool:
    import ctypes

    try:
        for library in _LIBRARIES:
            ctypes.CDLL(library)
    except OSError:
        return False
    return True
