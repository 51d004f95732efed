"""What libraries show by themselves becomes results: their functions for it are patched when the code imports them."""

import builtins
import sys
from typing import Any

from _glovebox.display import displays, import_hooks, library_defaults


def install() -> None:
    """Makes `display` a builtin, and lets libraries show their pictures as results, imported already or later."""
    setattr(builtins, "display", displays.display)
    import_hooks.patch_on_import(_PATCHES)


def _patch_pyplot(pyplot: Any) -> None:
    displays.rich().pyplot.patch(pyplot, displays.is_open, displays.publish_all, import_hooks.replace_function)


def _patch_backend_bases(backend_bases: Any) -> None:
    """`Figure.show`."""
    original = backend_bases.FigureManagerBase.show
    backend_bases.FigureManagerBase.show = lambda manager: (
        displays.show(manager.canvas.figure) if displays.is_open() else original(manager)
    )


def _patch_ipython(display_functions: Any) -> None:
    """`IPython.display`: without a shell it would print. A shell's publisher has its say (`%%capture`)."""

    def display(*objects: Any, **options: Any) -> Any:
        if not _replaces_shell():
            return original_display(*objects, **options)
        handle = displays.display(*objects, **options)
        return handle and display_functions.DisplayHandle(handle.display_id)

    def publish(data: Any, *arguments: Any, transient: Any = None, update: bool = False, **options: Any) -> None:
        if _replaces_shell():
            displays.publish(data, display_id=(transient or {}).get("display_id"), update=update)
        elif _shell() is None:
            # In a process that the code has forked; IPython would make a shell.
            print(data.get("text/plain", ""))
        else:
            original_publish(data, *arguments, transient=transient, update=update, **options)

    def clear_output(*arguments: Any, **options: Any) -> None:
        """Does nothing beside our own shell: output is already sent, and IPython would print codes for a terminal."""
        if _shell() is not None and not _replaces_shell():
            original_clear(*arguments, **options)

    original_display = import_hooks.replace_function(display_functions, "display", display)
    original_publish = import_hooks.replace_function(display_functions, "publish_display_data", publish)
    original_clear = import_hooks.replace_function(display_functions, "clear_output", clear_output)


def _shell() -> Any:
    return displays.rich().formats.shell()


def _replaces_shell() -> bool:
    """Returns whether results bypass IPython.

        That is so where there is no shell, or one made by the code, which would print their text.
        """
    if not displays.is_open():
        return False
    shell = _shell()
    module: Any = sys.modules.get("IPython.core.displaypub")
    return shell is None or type(shell.display_pub) is module.DisplayPublisher


def _patch_image_show(image_show: Any) -> None:
    """`PIL.Image.Image.show`."""
    import_hooks.replace_function(image_show, "show", lambda image, title=None, **_options: displays.show(image) or True)


def _patch_plotly(renderers: Any) -> None:
    """`Figure.show` and `plotly.io.show`."""

    def show(fig: Any, *_arguments: Any, **_options: Any) -> None:
        displays.publish(displays.rich().formats.describe_plotly(fig))

    import_hooks.replace_function(renderers, "show", show)


def _patch_plotly_offline(offline: Any) -> None:
    """`init_notebook_mode` would show its library, which figures load by themselves."""
    import_hooks.replace_function(offline, "init_notebook_mode", lambda *_arguments, **_options: None)


def _patch_bokeh(showing: Any) -> None:
    """`show`: without a browser or a notebook it would write a file that was not asked for, or scripts without a page."""

    def show(obj: Any, *arguments: Any, **options: Any) -> Any:
        state = showing.curstate()
        is_callable = callable(obj) or getattr(obj, "_is_a_bokeh_application_class", False)
        if is_callable or not displays.is_open():
            # An application, which needs a server.
            return original(obj, *arguments, **options)
        if state.file:
            showing.save(obj, state=state)
        return displays.publish(displays.rich().formats.describe_bokeh(obj))

    original = import_hooks.replace_function(showing, "show", show)


def _patch_bokeh_output(output: Any) -> None:
    """`output_notebook` would show the scripts that figures load by themselves."""

    def output_notebook(*_arguments: Any, notebook_type: str = "jupyter", **_options: Any) -> None:
        output.curstate().output_notebook(notebook_type)

    import_hooks.replace_function(output, "output_notebook", output_notebook)


def _patch_altair(altair: Any) -> None:
    altair.TopLevelMixin.show = lambda chart: displays.show(chart)


_PATCHES: dict[str, import_hooks.Patch] = {
    "IPython.core.display_functions": _patch_ipython,
    "PIL.ImageShow": _patch_image_show,
    "aiohttp.client": library_defaults.for_aiohttp,
    "altair": _patch_altair,
    "bokeh.io.output": _patch_bokeh_output,
    "bokeh.io.showing": _patch_bokeh,
    "matplotlib._api": lambda api: displays.rich().plot_warnings.patch_api(api),
    "matplotlib._mathtext": lambda mathtext: displays.rich().plot_warnings.patch_logger(mathtext),
    "matplotlib.animation": lambda animation: displays.rich().animations.patch(animation),
    "matplotlib.backend_bases": _patch_backend_bases,
    "matplotlib.font_manager": lambda font_manager: displays.rich().plot_warnings.patch_logger(font_manager),
    "matplotlib.pyplot": _patch_pyplot,
    "pandas": library_defaults.for_pandas,
    "plotly.io._renderers": _patch_plotly,
    "plotly.offline.offline": _patch_plotly_offline,
    "polars": library_defaults.for_polars,
    "tqdm.notebook": library_defaults.for_tqdm_notebook,
}
