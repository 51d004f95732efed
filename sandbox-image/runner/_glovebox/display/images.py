"""Pictures in a size that can be looked at, and the originals of those that are larger."""

import io
import sys
import warnings
from typing import Any

from _glovebox.display import grayscale
from _glovebox.display.call_repr import reason_of
from _glovebox.display.originals import keep

MAX_PIXELS = 4_000_000
MAX_SIDE = 8000
"""Pixels of a side of a picture in a result: readers refuse larger ones."""
MAX_ORIGINAL_PIXELS = 64_000_000
MAX_FILE = 64 << 20
"""Bytes of a file that is kept as an original."""
_WORTHWHILE_JPEG = 200_000
"""Bytes of a png from which a jpeg is tried."""
_SCALABLE_MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_MEMORY_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def scale_of(width: float, height: float) -> float:
    """The factor by which the sides must shrink, at most 1."""
    if width <= 0 or height <= 0:
        return 1.0
    return min(1.0, (MAX_PIXELS / (width * height)) ** 0.5, MAX_SIDE / width, MAX_SIDE / height)


def may_keep(width: float, height: float) -> bool:
    """Whether the original is worth its memory, of which a limit may be near."""
    return width * height <= MAX_ORIGINAL_PIXELS and _free_memory() > 12 * width * height


def describe(image: Any) -> dict[str, Any]:
    """The mime bundle of a PIL image: png, or jpeg where that is much smaller.

    What was read from a file of another format has that file as its original.
    """
    width, height = image.size
    bundle: dict[str, Any] = {"text/plain": repr(image)}
    if width <= 0 or height <= 0:
        return bundle
    # Before it is drawn, which may close the file.
    file = _file_of(image)
    bundle |= _picture_of(image, as_jpeg=not file)
    if file:
        bundle["glovebox/original"] = keep(lambda target: target.write(file), image.format.lower())
    elif "glovebox/truncated" in bundle and may_keep(width, height):
        whole = _as_png_takes_it(grayscale.whole(image))
        bundle["glovebox/original"] = keep(lambda target: whole.save(target, "PNG", compress_level=1), "png")
    return bundle


def _picture_of(image: Any, *, as_jpeg: bool) -> dict[str, Any]:
    scale = scale_of(*image.size)
    image = grayscale.whole(image)
    small = _as_png_takes_it(image if scale == 1 else _scale(image, scale))
    name, data = _encode(small, as_jpeg)
    return {f"image/{name}": data, **({"glovebox/truncated": [name]} if scale < 1 else {})}


def _file_of(image: Any) -> bytes | None:
    """The bytes that an image was read from, if they are a picture of a kind that no result has."""
    if getattr(image, "format", None) in (None, "PNG", "JPEG", "MPO"):
        return None
    try:
        if path := getattr(image, "filename", ""):
            with open(path, "rb") as file:
                data: bytes = file.read(MAX_FILE + 1)
        else:
            file = getattr(image, "fp", None) or image._fp
            position = file.tell()
            file.seek(0)
            try:
                data = file.read(MAX_FILE + 1)
            finally:
                file.seek(position)
    except Exception:  # noqa: BLE001 - gone, or closed
        return None
    return data if len(data) <= MAX_FILE else None


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


def first_frame(data: bytes) -> tuple[dict[str, Any] | None, str]:
    """The mime bundle of an encoded picture of any kind, as a png of its first frame; or None, and the reason."""
    try:
        from PIL import Image
    except ImportError:
        return None, "that takes Pillow, which install_dependencies installs"
    try:
        with warnings.catch_warnings():
            # Of many pixels, which are told below.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
        if not may_keep(*image.size):
            return None, f"{image.width} x {image.height} pixels are too many"
        return _picture_of(image, as_jpeg=False), ""
    except Image.DecompressionBombError:
        return None, "it has too many pixels"
    except Image.UnidentifiedImageError:
        return None, "it is of no kind that Pillow knows"
    except Exception as error:  # noqa: BLE001 - no picture, or a broken one
        return None, reason_of(error)


def _encode(image: Any, as_jpeg: bool) -> tuple[str, bytes]:
    with io.BytesIO() as file:
        image.save(file, "PNG")
        png = file.getvalue()
    if not as_jpeg or len(png) < _WORTHWHILE_JPEG or image.mode not in ("L", "RGB"):
        return "png", png
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=88)
        jpeg = file.getvalue()
    return ("jpeg", jpeg) if len(jpeg) * 3 < len(png) else ("png", png)


def _scale(image: Any, scale: float) -> Any:
    size = [max(1, int(side * scale)) for side in image.size]
    if image.mode in _SCALABLE_MODES:
        return image.resize(size, resample=1, reducing_gap=2.0)  # LANCZOS
    if grayscale.is_of_numbers(image):
        return image.resize(size, resample=4)  # BOX: no other stays within the range
    return image.resize(size, resample=0)  # NEAREST: no other keeps a palette


def _as_png_takes_it(image: Any) -> Any:
    if grayscale.is_of_numbers(image):
        return grayscale.of(image)
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
