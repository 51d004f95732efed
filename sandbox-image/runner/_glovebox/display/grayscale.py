"""Greys of PIL images whose pixels are numbers of any size: floats, and integers of 16 or 32 bits."""

import math
import sys
from array import array
from typing import Any

_MIDDLE = 128
_MAX_SAMPLE = 1_000_000


def is_of_numbers(image: Any) -> bool:
    return image.mode in ("F", "I")


def whole(image: Any) -> Any:
    """An image of 16 bits as one of 32, which PIL can calculate with; any other as it is."""
    return image.convert("I") if image.mode.startswith("I;16") else image


def of(image: Any) -> Any:
    """The image in mode L: its least value is black, its greatest white. What is no number is black."""
    low, high = _range(image)
    if low == high:
        # No contrast to show; nothing at all is black.
        return image.convert("L").point(lambda _: _MIDDLE if low else 0)
    factor = 255 / (high - low)
    # PIL takes a function of this form apart, and calculates without it; half a grey, because it cuts off.
    return image.point(lambda value: value * factor + (0.5 - low * factor)).convert("L")


def _range(image: Any) -> tuple[float, float]:
    """The least and the greatest finite value; (0, 0) where there is none."""
    low, high = image.getextrema()
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    numpy: Any = sys.modules.get("numpy")
    if numpy:
        values = numpy.asarray(image)
        values = values[numpy.isfinite(values)]
        return (float(values.min()), float(values.max())) if values.size else (0, 0)
    # Each value is an object here: of a large image a sample must do.
    scale = min(1, (_MAX_SAMPLE / (image.width * image.height)) ** 0.5)
    sample = image.resize([max(1, int(side * scale)) for side in image.size], resample=0)  # NEAREST
    values = [value for value in array("f", sample.tobytes()) if math.isfinite(value)]
    return (min(values), max(values)) if values else (0, 0)
