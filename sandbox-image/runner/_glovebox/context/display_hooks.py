"""Sends what a context displays to the results of its execution."""

import sys
from typing import Any

from IPython.core import displayhook, displaypub, formatters
from traitlets import Any as AnyTrait
from traitlets.config import Configurable

from _glovebox.display import displays

LARGE = 16 << 20
"""Bytes; a larger value is not kept in `Out`, where it would outlive its variable."""
PLAIN = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


class InlineBackend(Configurable):
    """Takes the settings that people give the notebooks' matplotlib, and does nothing with them."""

    close_figures = AnyTrait(True).tag(config=True)
    figure_format = AnyTrait("png").tag(config=True)
    figure_formats = AnyTrait({"png"}).tag(config=True)
    print_figure_kwargs = AnyTrait({}).tag(config=True)
    rc = AnyTrait({}).tag(config=True)


class Formatter(formatters.DisplayFormatter):
    """`results` knows more of tables and pictures than IPython."""

    def format(self, obj: Any, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = displays.describe_known(obj)
        return super().format(obj, include, exclude) if bundle is None else (displays.only(bundle, include, exclude), {})


class DisplayHook(displayhook.DisplayHook):
    """Publishes the value of a cell's last expression and keeps it in `_` and `Out`."""

    def __call__(self, result: Any = None) -> None:
        self.check_for_underscore()
        if result is None or self.quiet():
            return
        self.shell.shown = None
        bundle = {} if displays.is_empty_figure(result) else self.compute_format_data(result)[0]
        if bundle:
            displays.publish(bundle)
        else:
            # Not even its text could be made: IPython shows why and goes on.
            self.shell.uncaught = self.shell.shown
        self.update_user_ns(result)
        self.fill_exec_result(result)

    @property
    def prompt_count(self) -> int:
        return self.shell.execution_count - 1

    def update_user_ns(self, result: Any) -> None:
        super().update_user_ns(result)
        if _size(result) > LARGE:
            self.shell.user_ns["_oh"].pop(self.prompt_count, None)
            self.shell.user_ns.pop(f"_{self.prompt_count}", None)

    def cull_cache(self) -> None:
        """Drops old values as IPython does, without a warning to code that never asked for them to be kept."""
        kept = self.shell.user_ns["_oh"]
        for number in sorted(kept)[: len(kept) - self.cache_size + 1]:
            del kept[number]
            self.shell.user_ns.pop(f"_{number}", None)


class DisplayPublisher(displaypub.DisplayPublisher):
    """Publishes what `display` is given."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: Any = None,
        source: Any = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        self._validate_data(data, metadata)
        displays.publish(data, display_id=(transient or {}).get("display_id"), update=update)

    def clear_output(self, wait: bool = False) -> None:
        """Does nothing: output that was shown is already on its way to the caller."""


def _size(value: Any) -> int:
    """Bytes that a value keeps, as far as that can be told at once."""
    if isinstance(value, PLAIN):
        return sys.getsizeof(value)
    try:
        return int(getattr(value, "nbytes", 0) if hasattr(type(value), "nbytes") else 8 * _elements(value))
    except Exception:  # noqa: BLE001 - the value's class is the code's own
        return 0


def _elements(value: Any) -> int:
    return value.size if hasattr(type(value), "size") else 0
