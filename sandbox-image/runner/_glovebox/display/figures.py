"""Figures of matplotlib as png."""

import io
import weakref
from typing import Any

from _glovebox.display import images
from _glovebox.display.originals import keep

_PADDING_INCHES = 0.1
_MAX_GROWTH = 2.0
"""How many times its own area a picture may have to show what a figure holds outside of its frame."""

_LEAST_DPI = 50.0
"""Resolution at which letters can still be read, in dots per inch."""

_published: "weakref.WeakKeyDictionary[Any, int]" = weakref.WeakKeyDictionary()
"""What tells the last picture of each figure from others."""


def describe(figure: Any) -> dict[str, Any]:
    """The mime bundle of a figure; only text when it cannot be drawn, or holds nothing."""
    bundle: dict[str, Any] = {"text/plain": repr(figure)}
    if is_empty(figure):
        return bundle
    try:
        bundle |= _draw(figure)
    except Exception as error:  # noqa: BLE001 - the code's own artists, fonts and formulas
        bundle["text/plain"] += f" could not be drawn: {type(error).__name__}: {error}"
    _published[figure] = hash((bundle["text/plain"], bundle.get("image/png")))
    figure.stale = False
    return bundle


def describe_changed(figure: Any) -> dict[str, Any] | None:
    """The mime bundle of a figure that looks otherwise than when it was published; None if there is nothing new."""
    before = _published.get(figure)
    if before is not None and (not figure.stale or not any(axes.has_data() for axes in figure.axes)):
        # Cleared, to be drawn again.
        return None
    if is_empty(figure):
        return None
    bundle = describe(figure)
    return None if _published[figure] == before else bundle


def is_empty(figure: Any) -> bool:
    """Returns whether a figure has no axes, no text and nothing else in it."""
    return all(child is figure.patch or child in figure.subfigs and is_empty(child) for child in figure.get_children())


def _draw(figure: Any) -> dict[str, Any]:
    dpi = figure.dpi
    width, height = figure.get_size_inches()
    scale = images.scale_of(width * dpi, height * dpi)
    try:
        # Before anything is drawn: the canvas alone would take the memory.
        _make_smaller(figure, scale)
        box = _find_box(figure)
        if box is not None:
            figure.dpi *= images.scale_of(box.width * figure.dpi, box.height * figure.dpi)
        bundle: dict[str, Any] = {"image/png": _save(figure, box)}
        is_smaller = figure.dpi < dpi
    finally:
        figure.dpi = dpi
        figure.set_size_inches(width, height, forward=False)
    if is_smaller or scale < 1:
        bundle["glovebox/truncated"] = ["png"]
        if images.may_keep(width * dpi, height * dpi):
            bundle["glovebox/original"] = keep(lambda file: figure.savefig(file, format="png", dpi=dpi), "png")
    return bundle


def _make_smaller(figure: Any, scale: float) -> None:
    """First the resolution; where no letter would be left of it, the figure, which keeps its letters' size."""
    if scale == 1:
        return
    dpi = figure.dpi * scale
    figure.dpi = max(dpi, min(figure.dpi, _LEAST_DPI))
    if figure.dpi > dpi:
        figure.set_size_inches(figure.get_size_inches() * (dpi / figure.dpi), forward=False)


def _find_box(figure: Any) -> Any:
    """Returns the box around all that the figure shows, in inches, legends and labels beside it included.

    None stands for the figure's own frame.
    """
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    if not 0 < box.width * box.height <= _MAX_GROWTH * width * height:
        return None
    return box.padded(_PADDING_INCHES)


def _save(figure: Any, box: Any) -> bytes:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=figure.dpi, bbox_inches=box)
        return file.getvalue()
