"""pyplot's figures: what becomes a result of them, and which of them is the current one once they were shown.

A figure that was shown stays open, so that it can be saved as under `python script.py`; what is plotted next begins
another figure, as in a notebook.
"""

import functools
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from _glovebox.display import figures, images

_MOST_KEPT = 10
"""Figures of earlier calls of `show` that stay open; of more, the newest half do."""
_MUCH_PIXELS = 5000
"""Sides of a picture for which there must be memory, so that more than the last figures stay open."""

_shown: "weakref.WeakKeyDictionary[Any, bool]" = weakref.WeakKeyDictionary()
"""The figures that another is begun after; True while the execution lasts that has shown it."""

_USE_SHOWN = {"draw", "get_current_fig_manager", "savefig", "subplots_adjust", "tight_layout"}
_GO_ON = {"cla", "clf"}
"""Functions of pyplot that are meant for the figure that was shown, or begin it again; all others begin another."""


def take_open(*, begin_others: bool = True, ends: bool = False) -> Iterator[dict[str, Any]]:
    """The mime bundles of pyplot's open figures, without those that were published as they are now.

    What is plotted after them begins another figure if so asked; `ends` is said at the end of an execution.
    """
    open_figures = sys.modules["matplotlib._pylab_helpers"].Gcf
    new = []
    for manager in open_figures.get_all_fig_managers():
        figure = manager.canvas.figure
        try:
            if bundle := figures.describe_changed(figure):
                yield bundle
        finally:
            if ends or begin_others and figure not in _shown and not figures.is_empty(figure):
                new.append(figure)
                _shown[figure] = not ends
    _close_some(open_figures, [] if ends else new)


def _close_some(open_figures: Any, needed: list[Any]) -> None:
    """Closes what was shown, the oldest first, as far as it is too much."""
    most = _MOST_KEPT if images.may_keep(_MUCH_PIXELS, _MUCH_PIXELS) else 0
    managers = open_figures.get_all_fig_managers()
    shown = [manager for manager in managers if manager.canvas.figure in _shown and manager.canvas.figure not in needed]
    if len(shown) > most:
        for manager in shown[: len(shown) - most // 2]:
            open_figures.destroy(manager)
        # They have grown too old to be freed soon otherwise.
        gc.collect()


def patch(
    pyplot: Any,
    is_open: Callable[[], bool],
    publish: Callable[[Iterator[dict[str, Any]]], None],
    replace: Callable[[Any, str, Callable[..., Any]], Callable[..., Any]],
) -> None:
    """Lets pyplot show its figures as results; `replace` puts a function in the place of another, copied or not."""
    open_figures = sys.modules["matplotlib._pylab_helpers"].Gcf
    original_gcf, original_figure = pyplot.gcf, pyplot.figure

    def show(*arguments: Any, **options: Any) -> Any:
        if not is_open():
            return original_show(*arguments, **options)
        block = options.get("block", arguments[0] if arguments else None)
        return publish(take_open(begin_others=block is not False))

    @functools.wraps(original_gcf)
    def gcf() -> Any:
        manager = open_figures.get_active()
        if manager is not None and manager.canvas.figure in _shown:
            if _begins_another(manager.canvas.figure, sys._getframe(1), pyplot):
                return pyplot.figure()
        return original_gcf()

    @functools.wraps(original_figure)
    def figure(num: Any = None, *arguments: Any, **options: Any) -> Any:
        if hasattr(num, "canvas"):
            # Taken up again.
            _shown.pop(num.figure, None)
        elif num is not None:
            manager = _find(open_figures, num)
            is_new = arguments or options or sys._getframe(1).f_globals is vars(pyplot)
            if manager is not None and (is_new or not _shown.get(manager.canvas.figure, True)):
                if manager.canvas.figure in _shown:
                    open_figures.destroy(manager)
        _avoid_warning(open_figures, pyplot.rcParams["figure.max_open_warning"])
        return original_figure(num, *arguments, **options)

    original_show = replace(pyplot, "show", show)
    pyplot.gcf, pyplot.figure = gcf, figure


def _begins_another(figure: Any, caller: Any, pyplot: Any) -> bool:
    """Returns whether the caller, who asks for a figure that was shown already, is about to plot something new."""
    if caller.f_globals is not vars(pyplot):
        # `plt.gcf().savefig()`; but a library means to plot, and so does a later cell.
        return not _shown[figure] or "-packages/" in caller.f_code.co_filename
    names = {caller.f_code.co_name}
    if names == {"gca"} and caller.f_back is not None and caller.f_back.f_globals is vars(pyplot):
        names = {caller.f_back.f_code.co_name}
    if names & _GO_ON:
        _shown.pop(figure)
        return False
    return not names & _USE_SHOWN


def _find(open_figures: Any, num: Any) -> Any:
    """The manager of the figure with that number or label."""
    for manager in open_figures.get_all_fig_managers():
        if manager.num == num or manager.canvas.figure.get_label() == num:
            return manager
    return None


def _avoid_warning(open_figures: Any, most: Any) -> None:
    """Closes what was shown before matplotlib would warn of too many open figures."""
    managers = open_figures.get_all_fig_managers()
    excess = len(managers) + 1 - most if most >= 1 else 0
    for manager in managers:
        if excess > 0 and manager.canvas.figure in _shown:
            open_figures.destroy(manager)
            excess -= 1
