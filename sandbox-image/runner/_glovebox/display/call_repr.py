"""Calls of an object's own methods, which may fail in any way."""

from typing import Any


def ask(value: Any, method: str, **options: Any) -> Any:
    """Returns what a method of the object returns, without metadata; None if it fails, which is reported.

    Calls a method that takes no such options without them.
    """
    try:
        found = getattr(value, method, None)
    except Exception:  # noqa: BLE001 - the code's own __getattr__
        return None
    if not callable(found):
        return None
    for given in (options, {}):
        try:
            answer = found(**given)
            return answer[0] if isinstance(answer, tuple) and len(answer) == 2 else answer
        except NotImplementedError:
            # So a method says that it has nothing to give.
            return None
        except Exception as error:  # noqa: BLE001 - the code's own method
            if not given or not _is_of_the_call(error):
                tell(error)
                return None
    return None


def _is_of_the_call(error: Exception) -> bool:
    """Returns whether the error was raised before the method began."""
    trace = error.__traceback__
    return isinstance(error, TypeError) and trace is not None and trace.tb_next is None


def tell(error: Exception) -> None:
    """Shows on stderr why something could not be displayed, as IPython does."""
    import traceback

    own = error.__traceback__
    try:
        traceback.print_exception(type(error), error, own and own.tb_next)
    except Exception:  # noqa: BLE001 - the code's own exception or stream
        pass


def text_of(value: Any) -> str:
    """The object's repr, or what went wrong with it."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the code's own method
        return f"<repr of {type(value).__name__} failed: {reason_of(error)}>"


def reason_of(error: Exception) -> str:
    """An exception as one line."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the code's own method
        message = ""
    return f"{type(error).__name__}: {message}"
