"""Calls of an object's own methods, which may fail in any way."""

from typing import Any


def ask(value: Any, method: str, **options: Any) -> Any:
    """What a method of the object answers, without the metadata that may come with it; None if it fails."""
    try:
        found = getattr(value, method, None)
        answer = found(**options) if callable(found) else None
    except Exception:  # noqa: BLE001 - the code's own method
        return None
    return answer[0] if isinstance(answer, tuple) and len(answer) == 2 else answer


def text_of(value: Any) -> str:
    """The object's repr, or what went wrong with it."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the code's own method
        return f"<repr of {type(value).__name__} failed: {type(error).__name__}: {_message_of(error)}>"


def _message_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the code's own method
        return ""
