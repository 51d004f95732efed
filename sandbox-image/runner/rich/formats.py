"""Describes any object as a mime bundle."""

import json
import sys
from typing import Any

from . import figures, pictures, tables
from .asking import ask, text_of

_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
}


def describe(value: Any) -> dict[str, Any] | None:
    """The mime bundle, in which text is always there; None when the object has shown itself (`_ipython_display_`).

    Runs the object's methods: what one of them raises leaves that format out.
    """
    bundle = describe_known(value)
    if bundle is None:
        bundle = _describe_by_shell(value) if shell() else _describe_by_methods(value)
    return bundle


def describe_known(value: Any) -> dict[str, Any] | None:
    """The mime bundle of an object for which more can be done than it does itself; None for others."""
    try:
        return _describe_known(value)
    except Exception:  # noqa: BLE001 - an object that only claims to be of a known type, or is broken
        return None


def shell() -> Any:
    """IPython's shell, where the code runs in one."""
    module: Any = sys.modules.get("IPython.core.interactiveshell")
    try:
        return module.InteractiveShell._instance if module.InteractiveShell.initialized() else None
    except AttributeError:
        return None


def _describe_known(value: Any) -> dict[str, Any] | None:
    """Objects of libraries for which more can be done than they do; such a library has been imported."""
    modules: Any = sys.modules.get
    if pandas := modules("pandas"):
        if bundle := tables.describe(pandas, value):
            return bundle
    if (figure := modules("matplotlib.figure")) and isinstance(value, figure.Figure):
        return figures.describe(value)
    if (image := modules("PIL.Image")) and isinstance(value, image.Image):
        return pictures.describe(value)
    if (plotly := modules("plotly.basedatatypes")) and isinstance(value, plotly.BaseFigure):
        return describe_plotly(value)
    if (altair := modules("altair")) and isinstance(value, altair.TopLevelMixin):
        return _describe_altair(value)
    return None


def describe_plotly(figure: Any) -> dict[str, Any]:
    """The mime bundle of a figure of plotly, or of a dictionary that describes one. Its library is loaded by the reader."""
    import plotly.io

    return {
        "text/plain": text_of(figure),
        "text/html": plotly.io.to_html(figure, include_plotlyjs="cdn", full_html=False, validate=False),
        "application/vnd.plotly.v1+json": json.loads(plotly.io.to_json(figure, validate=False)),
    }


def _describe_altair(chart: Any) -> dict[str, Any]:
    specification = chart.to_dict()
    bundle = {"text/plain": text_of(chart), "application/json": specification}
    if isinstance(html := ask(chart, "to_html"), str):
        bundle["text/html"] = html
    return bundle


def _describe_by_shell(value: Any) -> dict[str, Any] | None:
    """As the shell does it, with the formatters that the code has registered there."""
    try:
        bundle, _metadata = shell().display_formatter.format(value)
    except Exception:  # noqa: BLE001 - the code's own formatter
        return _describe_by_methods(value)
    return {"text/plain": text_of(value), **bundle} if bundle else None


def _describe_by_methods(value: Any) -> dict[str, Any] | None:
    if _lacks_methods(value):
        return {"text/plain": text_of(value)}
    if _shows_itself(value):
        return None
    given = ask(value, "_repr_mimebundle_", include=None, exclude=None)
    if given is None:
        given = ask(value, "_repr_mimebundle_")
    bundle = {mime: data for mime, data in given.items() if isinstance(mime, str)} if isinstance(given, dict) else {}
    for mime, method in _METHODS.items():
        if mime not in bundle and (data := ask(value, method)) is not None:
            bundle[mime] = data
    if not isinstance(bundle.get("text/plain"), str):
        bundle["text/plain"] = text_of(value)
    return bundle


def _lacks_methods(value: Any) -> bool:
    """True for classes, whose methods are for their instances, and for objects that have just any attribute."""
    if isinstance(value, type):
        return True
    try:
        return getattr(value, "_glovebox_canary_", None) is not None
    except Exception:  # noqa: BLE001 - the code's own __getattr__
        return True


def _shows_itself(value: Any) -> bool:
    try:
        method = getattr(value, "_ipython_display_", None)
        if not callable(method):
            return False
        method()
    except Exception:  # noqa: BLE001 - the code's own method; or NotImplementedError, which asks for the other formats
        return False
    return True
