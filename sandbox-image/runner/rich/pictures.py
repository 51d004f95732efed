"""Pictures in a size that can be looked at, and the originals of those that are larger."""

import io
import itertools
import os
import sys
from collections.abc import Callable
from typing import Any

from . import grey

MAX_PIXELS = 4_000_000
MAX_SIDE = 8000
"""Of a picture in a result: readers refuse larger ones."""
MAX_ORIGINAL_PIXELS = 64_000_000
MAX_ORIGINALS = 20
"""That one execution leaves behind."""
_WORTHWHILE_JPEG = 200_000
"""Bytes of a png from which a jpeg is tried."""
_SCALABLE_MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_MEMORY_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)

workspace = ""
_kept = 0
_names = itertools.count(1)
_token = ""


def begin() -> None:
    """Begins an execution: as many originals as ever may be kept of it."""
    global _kept
    _kept = 0


def scale_of(width: float, height: float) -> float:
    """By how much the sides must shrink, at most 1."""
    if width <= 0 or height <= 0:
        return 1.0
    return min(1.0, (MAX_PIXELS / (width * height)) ** 0.5, MAX_SIDE / width, MAX_SIDE / height)


def may_keep(width: float, height: float) -> bool:
    """Whether the original is worth its memory, of which a limit may be near."""
    return width * height <= MAX_ORIGINAL_PIXELS and _free_memory() > 12 * width * height


def describe(image: Any) -> dict[str, Any]:
    """The mime bundle of a PIL image: png, or jpeg where that is much smaller."""
    width, height = image.size
    bundle: dict[str, Any] = {"text/plain": repr(image)}
    if width <= 0 or height <= 0:
        return bundle
    scale = scale_of(width, height)
    image = grey.whole(image)
    small = _as_png_takes_it(image if scale == 1 else _scale(image, scale))
    name, data = _encode(small)
    bundle[f"image/{name}"] = data
    if scale < 1:
        bundle["glovebox/truncated"] = [name]
        if may_keep(width, height):
            whole = _as_png_takes_it(image)
            bundle["glovebox/original"] = keep(lambda file: whole.save(file, "PNG", compress_level=1), "png")
    return bundle


def is_too_large(data: bytes) -> bool:
    """Whether an encoded picture has too many pixels, however few its bytes."""
    if not data.startswith(b"\x89PNG"):
        return False
    return scale_of(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) < 1


def shrink(data: bytes, room: int) -> bytes | None:
    """The encoded picture, scaled down to at most `room` bytes; None without PIL, or if it cannot be."""
    try:
        from PIL import Image

        image = Image.open(io.BytesIO(data))
        kind = image.format
        if image.width * image.height > MAX_ORIGINAL_PIXELS or kind not in ("PNG", "JPEG"):
            return None
        scale = scale_of(image.width, image.height)
        size = len(data) * scale * scale
        for _ in range(8):
            if size > room:
                scale *= (room / size) ** 0.5 * 0.9
            if scale * min(image.size) < 1:
                return None
            with io.BytesIO() as file:
                _as_png_takes_it(_scale(image, scale)).save(file, kind)
                if file.tell() <= room:
                    return file.getvalue()
                size = file.tell()
    except Exception:  # noqa: BLE001 - no PIL, or no picture
        pass
    return None


def keep(write: Callable[[Any], Any], extension: str) -> dict[str, Any] | None:
    """Has the original written to a file: `{"path": below the workspace, "size": bytes}`, or None, as when the disk is full."""
    global _kept, _token
    if _kept >= MAX_ORIGINALS:
        return None
    _kept += 1
    _token = _token or os.urandom(4).hex()
    relative = f".glovebox/results/{os.getpid()}-{_token}-{next(_names)}.{extension}"
    path = f"{workspace}/{relative}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            write(file)
        return {"path": relative, "size": os.path.getsize(path)}
    except BaseException as error:
        try:
            os.unlink(path)
        except OSError:
            pass
        if not isinstance(error, Exception):
            raise
        return None


def _encode(image: Any) -> tuple[str, bytes]:
    with io.BytesIO() as file:
        image.save(file, "PNG")
        png = file.getvalue()
    if len(png) < _WORTHWHILE_JPEG or image.mode not in ("L", "RGB"):
        return "png", png
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=88)
        jpeg = file.getvalue()
    return ("jpeg", jpeg) if len(jpeg) * 3 < len(png) else ("png", png)


def _scale(image: Any, scale: float) -> Any:
    size = [max(1, int(side * scale)) for side in image.size]
    if image.mode in _SCALABLE_MODES:
        return image.resize(size, resample=1, reducing_gap=2.0)  # LANCZOS
    if grey.is_of_numbers(image):
        return image.resize(size, resample=4)  # BOX: no other stays within the range
    return image.resize(size, resample=0)  # NEAREST: no other keeps a palette


def _as_png_takes_it(image: Any) -> Any:
    if grey.is_of_numbers(image):
        return grey.of(image)
    return image if image.mode in _PNG_MODES else image.convert("RGB")


def _free_memory() -> int:
    """Bytes until this container's limit."""
    for limit, usage in _MEMORY_FILES:
        try:
            with open(limit, "rb") as first, open(usage, "rb") as second:
                return int(first.read()) - int(second.read())
        except (OSError, ValueError):
            continue
    return sys.maxsize
