"""What libraries show by themselves becomes results: their functions for it are patched when the code imports them."""

import builtins
import sys
from typing import Any

import defaults
import loading
import results


def install() -> None:
    """Makes `display` a builtin, and lets libraries show their pictures as results, imported already or later."""
    setattr(builtins, "display", results.display)
    loading.patch_on_import(_PATCHES)


def _patch_pyplot(pyplot: Any) -> None:
    results.rich().pyplot.patch(pyplot, results.is_open, results.publish_all, loading.replace_function)


def _patch_backend_bases(backend_bases: Any) -> None:
    """`Figure.show`."""
    original = backend_bases.FigureManagerBase.show
    backend_bases.FigureManagerBase.show = lambda manager: (
        results.show(manager.canvas.figure) if results.is_open() else original(manager)
    )


def _patch_ipython(display_functions: Any) -> None:
    """`IPython.display`: without a shell it would print. A shell's publisher has its say (`%%capture`)."""

    def display(*objects: Any, **options: Any) -> Any:
        if not _replaces_shell():
            return original_display(*objects, **options)
        handle = results.display(*objects, **options)
        return handle and display_functions.DisplayHandle(handle.display_id)

    def publish(data: Any, *arguments: Any, transient: Any = None, update: bool = False, **options: Any) -> None:
        if _replaces_shell():
            results.publish(data, display_id=(transient or {}).get("display_id"), update=update)
        elif _shell() is None:
            # In a process that the code has forked; IPython would make a shell.
            print(data.get("text/plain", ""))
        else:
            original_publish(data, *arguments, transient=transient, update=update, **options)

    def clear_output(*arguments: Any, **options: Any) -> None:
        """What is shown has gone out already; IPython would print codes for a terminal."""
        if _shell() is not None and not _replaces_shell():
            original_clear(*arguments, **options)

    original_display = loading.replace_function(display_functions, "display", display)
    original_publish = loading.replace_function(display_functions, "publish_display_data", publish)
    original_clear = loading.replace_function(display_functions, "clear_output", clear_output)


def _shell() -> Any:
    return results.rich().formats.shell()


def _replaces_shell() -> bool:
    """Whether results are published past IPython: there is no shell, or one of the code's that prints their text."""
    if not results.is_open():
        return False
    shell = _shell()
    module: Any = sys.modules.get("IPython.core.displaypub")
    return shell is None or type(shell.display_pub) is module.DisplayPublisher


def _patch_image_show(image_show: Any) -> None:
    """`PIL.Image.Image.show`."""
    loading.replace_function(image_show, "show", lambda image, title=None, **_options: results.show(image) or True)


def _patch_plotly(renderers: Any) -> None:
    """`Figure.show` and `plotly.io.show`."""

    def show(fig: Any, *_arguments: Any, **_options: Any) -> None:
        results.publish(results.rich().formats.describe_plotly(fig))

    loading.replace_function(renderers, "show", show)


def _patch_plotly_offline(offline: Any) -> None:
    """`init_notebook_mode` would show its library, which figures load by themselves."""
    loading.replace_function(offline, "init_notebook_mode", lambda *_arguments, **_options: None)


def _patch_bokeh(showing: Any) -> None:
    """`show`: without a browser or a notebook it would write a file that nobody asked for, or scripts without a page."""

    def show(obj: Any, *arguments: Any, **options: Any) -> Any:
        state = showing.curstate()
        is_callable = callable(obj) or getattr(obj, "_is_a_bokeh_application_class", False)
        if is_callable or not results.is_open():
            # An application, which needs a server.
            return original(obj, *arguments, **options)
        if state.file:
            showing.save(obj, state=state)
        return results.publish(results.rich().formats.describe_bokeh(obj))

    original = loading.replace_function(showing, "show", show)


def _patch_bokeh_output(output: Any) -> None:
    """`output_notebook` would show the scripts that figures load by themselves."""

    def output_notebook(*_arguments: Any, notebook_type: str = "jupyter", **_options: Any) -> None:
        output.curstate().output_notebook(notebook_type)

    loading.replace_function(output, "output_notebook", output_notebook)


def _patch_altair(altair: Any) -> None:
    altair.TopLevelMixin.show = lambda chart: results.show(chart)


_PATCHES: dict[str, loading.Patch] = {
    "IPython.core.display_functions": _patch_ipython,
    "PIL.ImageShow": _patch_image_show,
    "altair": _patch_altair,
    "bokeh.io.output": _patch_bokeh_output,
    "bokeh.io.showing": _patch_bokeh,
    "matplotlib._api": lambda api: results.rich().warned.patch_api(api),
    "matplotlib._mathtext": lambda mathtext: results.rich().warned.patch_logger(mathtext),
    "matplotlib.animation": lambda animation: results.rich().movies.patch(animation),
    "matplotlib.backend_bases": _patch_backend_bases,
    "matplotlib.font_manager": lambda font_manager: results.rich().warned.patch_logger(font_manager),
    "matplotlib.pyplot": _patch_pyplot,
    "pandas": defaults.for_pandas,
    "plotly.io._renderers": _patch_plotly,
    "plotly.offline.offline": _patch_plotly_offline,
    "polars": defaults.for_polars,
    "tqdm.notebook": defaults.for_tqdm_notebook,
}
