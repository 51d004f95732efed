"""Describes any object as a mime bundle."""

import json
import sys
from typing import Any

from _glovebox.display import figures, images, tables
from _glovebox.display.budget import TABLE
from _glovebox.display.call_repr import ask, tell, text_of

_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
    "application/javascript": "_repr_javascript_",
    "application/pdf": "_repr_pdf_",
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
            return {**bundle, TABLE: True}
    if (figure := modules("matplotlib.figure")) and isinstance(value, figure.Figure):
        return figures.describe(value)
    if (image := modules("PIL.Image")) and isinstance(value, image.Image):
        return images.describe(value)
    if (plotly := modules("plotly.basedatatypes")) and isinstance(value, plotly.BaseFigure):
        return describe_plotly(value)
    if (altair := modules("altair")) and isinstance(value, altair.TopLevelMixin):
        return _describe_altair(altair, value)
    if (bokeh := modules("bokeh.models")) and isinstance(value, bokeh.LayoutDOM):
        return describe_bokeh(value)
    if (holoviews := modules("holoviews.core.dimension")) and isinstance(value, holoviews.Dimensioned):
        return _describe_holoviews(value)
    return None


def describe_plotly(figure: Any) -> dict[str, Any]:
    """The mime bundle of a figure of plotly, or of a dictionary that describes one. Its library is loaded by the reader."""
    import plotly.graph_objects
    import plotly.io

    if isinstance(figure, dict):
        figure = plotly.graph_objects.Figure(figure, skip_invalid=True)
    return {
        "text/plain": text_of(figure),
        "text/html": plotly.io.to_html(figure, include_plotlyjs="cdn", full_html=False, validate=False),
        "application/vnd.plotly.v1+json": json.loads(plotly.io.to_json(figure, validate=False)),
    }


def describe_bokeh(figure: Any) -> dict[str, Any]:
    """The mime bundle of a figure of bokeh, or of several. Its library is loaded by the reader."""
    from inspect import signature

    from bokeh.embed import file_html
    from bokeh.resources import CDN

    options: dict[str, Any] = {"title": "Bokeh"}
    if "_always_new" in signature(file_html).parameters:
        # As in a notebook: otherwise a figure could not be shown alone, and then again in a layout.
        options["_always_new"] = True
    return {"text/plain": text_of(figure), "text/html": file_html(figure, CDN, **options)}


def _describe_holoviews(element: Any) -> dict[str, Any] | None:
    """The bundle as its chosen library draws it; by itself it does so only in a notebook."""
    import holoviews

    if not holoviews.Store.registry:
        # No library was chosen.
        return None
    drawn = holoviews.render(element)
    bundle = _describe_known(drawn) or (describe_plotly(drawn) if isinstance(drawn, dict) else {})
    return {**bundle, "text/plain": text_of(element)}


def _describe_altair(altair: Any, chart: Any) -> dict[str, Any] | None:
    """The specification, and html unless another renderer was chosen."""
    chosen = altair.renderers.active
    if chosen not in ("default", "browser"):
        bundle = ask(chart, "_repr_mimebundle_")
        if isinstance(bundle, dict) and bundle:
            # The renderer's own text is about notebooks that show nothing else.
            return {"application/json": chart.to_dict(), **bundle, "text/plain": text_of(chart)}
    bundle = {"text/plain": text_of(chart), "application/json": chart.to_dict()}
    if isinstance(html := ask(chart, "to_html"), str):
        bundle["text/html"] = html
    return bundle


def _describe_by_shell(value: Any) -> dict[str, Any] | None:
    """The bundle that the shell makes, with the formatters that the code has registered there."""
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
    except Exception:  # noqa: BLE001 - the code's own __getattr__
        return False
    if not callable(method):
        return False
    try:
        method()
    except NotImplementedError:
        # So it asks for the other formats.
        return False
    except Exception as error:  # noqa: BLE001 - the code's own method
        tell(error)
        return False
    return True
