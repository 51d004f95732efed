"""Rich results: what the code displays, one JSON object a line, on a pipe of its own.

A result is `{text?, html?, markdown?, svg?, png?, jpeg?, json?, latex?, truncated?, original?}`: png and jpeg as base64,
json any JSON value, `truncated` the formats that were cut, scaled down or left out for the budget, and
`original: {path, size}` the unscaled picture, kept in the workspace. How they are made is in `rich/`, which is
loaded with the first of them: few programs need it.
"""

import builtins
import sys
from _thread import RLock
from collections.abc import Iterable
from typing import Any

import defaults
import loading
from paths import WORKSPACE
from result_pipe import ResultPipe

_pipe: ResultPipe | None = None
_loaded: Any = None
_loading = RLock()


def open(descriptor: int, limit: int, total: int) -> None:
    """From now on this process's results go there: `limit` bytes of JSON text each, `total` bytes in all."""
    global _pipe
    _pipe = ResultPipe(descriptor, limit, total, lambda bundle, room: _rich().fitting.fit(bundle, room))
    if _loaded is not None:
        _loaded.pictures.begin()
        _loaded.warned.begin()


def install() -> None:
    """Makes `display` a builtin, and lets libraries show their pictures as results when they are imported."""
    setattr(builtins, "display", display)
    loading.patch_on_import(_PATCHES)


def display(*objects: Any, raw: bool = False, **_options: Any) -> None:
    """Publishes each object as a result; with `raw` they are mime bundles. IPython's other options change nothing."""
    for value in objects:
        if raw:
            publish(value)
        else:
            show(value)


def show(value: Any, *, last: bool = False) -> None:
    """Publishes an object; as the last expression's value only if it is one."""
    if last and (value is None or _is_empty_figure(value)):
        return
    if not _is_open():
        print(repr(value))
        return
    bundle = _rich().formats.describe(value)
    if bundle:
        publish(bundle)


def describe_known(value: Any) -> dict[str, Any] | None:
    """The mime bundle of a table or a picture, which is more than its own methods give; None for other objects."""
    names = {each.__module__.partition(".")[0] for each in type(value).__mro__}
    return _rich().formats.describe_known(value) if names & _KNOWN else None


def publish(bundle: dict[str, Any]) -> None:
    """Publishes a mime bundle, `{"text/html": "…", "image/png": bytes or base64 text, …}`; other types are ignored."""
    if _pipe is not None and _pipe.is_own() and isinstance(bundle, dict):
        _pipe.put(bundle)


def finish() -> None:
    """After the code: publishes the figures left open, and says how many results were left out."""
    if _pipe is None or not _pipe.is_own():
        return
    try:
        if "matplotlib._pylab_helpers" in sys.modules:
            _publish_all(_rich().pyplot.take_open(ends=True))
    except BaseException:  # noqa: BLE001 - the code has ended; what is wrong with its figures is no longer its affair
        pass
    try:
        _pipe.note_left_out()
    except BaseException:  # noqa: BLE001 - as above
        pass


def _is_open() -> bool:
    return _pipe is not None and _pipe.is_own()


def _is_empty_figure(value: Any) -> bool:
    figure: Any = sys.modules.get("matplotlib.figure")
    return figure is not None and isinstance(value, figure.Figure) and _rich().figures.is_empty(value)


def _publish_all(bundles: Iterable[dict[str, Any]]) -> None:
    for bundle in bundles:
        publish(bundle)


def _rich() -> Any:
    global _loaded
    with _loading:
        if _loaded is None:
            package: Any = loading.load_package("rich", _PARTS)
            package.pictures.workspace = WORKSPACE
            _loaded = package
    return _loaded


def _patch_pyplot(pyplot: Any) -> None:
    _rich().pyplot.patch(pyplot, _is_open, _publish_all)


def _patch_backend_bases(backend_bases: Any) -> None:
    """`Figure.show`."""
    original = backend_bases.FigureManagerBase.show
    backend_bases.FigureManagerBase.show = lambda manager: (
        show(manager.canvas.figure) if _is_open() else original(manager)
    )


def _patch_ipython(display_functions: Any) -> None:
    """`IPython.display.display`: without a shell it would print. With one, its publisher has its say (`%%capture`)."""
    publish_data = display_functions.publish_display_data

    def send(bundle: dict[str, Any]) -> None:
        if _rich().formats.shell() is None:
            publish(bundle)
        else:
            publish_data(bundle)

    def show_all(*objects: Any, raw: bool = False, display_id: Any = None, **_options: Any) -> Any:
        for value in objects:
            bundle = value if raw else _rich().formats.describe(value)
            if bundle:
                send(bundle)
        if display_id is None:
            return None
        return display_functions.DisplayHandle(None if display_id is True else display_id)

    display_functions.display = show_all
    display_functions.publish_display_data = lambda data, metadata=None, **_options: send(data)


def _patch_image_show(image_show: Any) -> None:
    """`PIL.Image.Image.show`."""
    image_show.show = lambda image, title=None, **_options: show(image) or True


def _patch_plotly(renderers: Any) -> None:
    """`Figure.show` and `plotly.io.show`."""
    renderers.show = lambda fig, *_arguments, **_options: publish(_rich().formats.describe_plotly(fig))


def _patch_altair(altair: Any) -> None:
    altair.TopLevelMixin.show = lambda chart: show(chart)


_PARTS = ("figures", "fitting", "formats", "movies", "pictures", "pyplot", "warned")
_KNOWN = {"PIL", "altair", "pandas", "plotly"}

_PATCHES: dict[str, loading.Patch] = {
    "IPython.core.display_functions": _patch_ipython,
    "PIL.ImageShow": _patch_image_show,
    "altair": _patch_altair,
    "matplotlib._api": lambda api: _rich().warned.patch_api(api),
    "matplotlib._mathtext": lambda mathtext: _rich().warned.patch_logger(mathtext),
    "matplotlib.animation": lambda animation: _rich().movies.patch(animation),
    "matplotlib.backend_bases": _patch_backend_bases,
    "matplotlib.font_manager": lambda font_manager: _rich().warned.patch_logger(font_manager),
    "matplotlib.pyplot": _patch_pyplot,
    "pandas": defaults.for_pandas,
    "plotly.io._renderers": _patch_plotly,
    "polars": defaults.for_polars,
    "tqdm.notebook": defaults.for_tqdm_notebook,
}
