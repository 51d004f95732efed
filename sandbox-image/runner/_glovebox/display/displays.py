"""Rich results: what the code displays, one JSON object a line, on a pipe of its own.

A result is `{text?, html?, markdown?, svg?, png?, jpeg?, json?, latex?, truncated?, original?, originals?, omitted?}`:
png and jpeg as base64, json any JSON value, `truncated` the formats that were cut, scaled down or left out for the
budget, `original: {path, size}` the whole of what says most of those, kept in the workspace, `originals` all that was
kept, by format, if it is more than one, and `omitted` the mime types that a result has no format for. How they are made
is in `rich.py`, which is loaded with the first of them: few programs need it.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

from _glovebox.display.display_pipe import DisplayPipe
from _glovebox.own_modules import import_own
from _glovebox.paths import WORKSPACE

_pipe: DisplayPipe | None = None
_updates: dict[Any, dict[str, Any]] = {}
"""The latest state of each display that was updated, by its id."""
_loaded: Any = None


def open(descriptor: int, limit: int, total: int) -> None:
    """Sends this process's results to a descriptor from now on: `limit` bytes of JSON text each, `total` bytes in all."""
    global _pipe
    _pipe = DisplayPipe(descriptor, limit, total, lambda bundle, room: rich().budget.fit(bundle, room))
    _updates.clear()
    if _loaded is not None:
        _loaded.originals.begin()
        _loaded.plot_warnings.begin()


class DisplayHandle:
    """A display that can be updated, as IPython's is."""

    def __init__(self, display_id: Any) -> None:
        self.display_id = display_id

    def __repr__(self) -> str:
        return f"<DisplayHandle display_id={self.display_id}>"

    def display(self, value: Any, **options: Any) -> None:
        display(value, **{**options, "display_id": self.display_id})

    def update(self, value: Any, **options: Any) -> None:
        display(value, **{**options, "display_id": self.display_id, "update": True})


def display(
    *objects: Any,
    include: Any = None,
    exclude: Any = None,
    display_id: Any = None,
    raw: bool = False,
    update: bool = False,
    **_options: Any,
) -> DisplayHandle | None:
    """Publishes each object as a result, as IPython's does; with `raw` they are mime bundles.

    Of a display that is updated, its first state is published at once and its last at the end. IPython's other options
    change nothing.
    """
    if update and not display_id:
        raise TypeError("display_id required for update_display")
    if display_id is True:
        display_id = os.urandom(16).hex()
    for value in objects:
        if not is_open():
            print(repr(value))
        elif isinstance(bundle := value if raw else rich().formats.describe(value), dict):
            publish(only(bundle, include, exclude), display_id=display_id, update=update)
    return DisplayHandle(display_id) if display_id else None


def show(value: Any, *, last: bool = False) -> None:
    """Publishes an object; as the last expression's value only if it is one."""
    if last and (value is None or is_empty_figure(value)):
        return
    display(value)


def describe_known(value: Any) -> dict[str, Any] | None:
    """The mime bundle of a table or a picture, which is more than its own methods give; None for other objects."""
    names = {each.__module__.partition(".")[0] for each in type(value).__mro__}
    return rich().formats.describe_known(value) if names & _KNOWN else None


def publish(bundle: dict[str, Any], *, display_id: Any = None, update: bool = False) -> None:
    """Publishes a mime bundle, `{"text/html": "…", "image/png": bytes or base64 text, …}`; an update at the end."""
    if _pipe is None or not _pipe.is_own() or not isinstance(bundle, dict):
        return
    if update:
        _updates[display_id] = dict(bundle)
        return
    if display_id is not None:
        # What it is updated to from now on is its last state.
        _updates.pop(display_id, None)
    if bundle:
        _pipe.put(bundle)


def finish() -> None:
    """After the code: publishes the last states of displays and the figures left open, and counts what was left out."""
    if _pipe is None or not _pipe.is_own():
        return
    try:
        while _updates:
            publish(_updates.pop(next(iter(_updates))))
    except BaseException:  # noqa: BLE001 - the code has ended; an error in its displays is not reported any more
        pass
    try:
        if "matplotlib._pylab_helpers" in sys.modules:
            publish_all(rich().pyplot.take_open(ends=True))
    except BaseException:  # noqa: BLE001 - as above
        pass
    try:
        _pipe.note_left_out()
    except BaseException:  # noqa: BLE001 - as above
        pass


def is_open() -> bool:
    """Whether results of this process go anywhere."""
    return _pipe is not None and _pipe.is_own()


def is_empty_figure(value: Any) -> bool:
    """Whether it is a figure that nothing was drawn in."""
    figure: Any = sys.modules.get("matplotlib.figure")
    return figure is not None and isinstance(value, figure.Figure) and rich().figures.is_empty(value)


def publish_all(bundles: Iterable[dict[str, Any]]) -> None:
    """Publishes one after the other, each before the next is made."""
    for bundle in bundles:
        publish(bundle)


def only(bundle: dict[str, Any], include: Any, exclude: Any) -> dict[str, Any]:
    """The formats that `display` was asked for."""
    if not include and not exclude:
        return bundle
    return {
        mime: data
        for mime, data in bundle.items()
        if mime.startswith("glovebox/") or (not include or mime in include) and mime not in (exclude or ())
    }


def rich() -> Any:
    """Returns the module that makes rich results; it is loaded with the first result."""
    global _loaded
    if _loaded is None:
        loaded = import_own("display.rich", guard_path=False)
        loaded.originals.workspace = WORKSPACE
        _loaded = loaded
    return _loaded


_KNOWN = {"PIL", "altair", "bokeh", "holoviews", "matplotlib", "pandas", "plotly"}
