"""JSON of any object."""

import sys
from typing import Any

MAX_DEPTH = 64
_LARGEST = (1 << 53) - 1
"""The largest integer that every reader of JSON takes as it is; JavaScript rounds those beyond."""


class TooLarge(Exception):
    """The value has more parts than its budget has bytes."""


def plain(value: Any, room: int) -> Any:
    """The value as `json.dumps` takes it and any reader understands it.

    NaN and infinities become null, integers beyond 2^53 text, times ISO 8601, keys and whatever else has no JSON form
    their `str`. Raises TooLarge when it cannot be written in `room` bytes, before it has taken much more memory than that.
    """
    return _Converter(room).convert(value, 0)


def exact_text(text: str) -> str:
    """A `str` and no subclass of it, in valid Unicode."""
    text = "".join((text,))
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class _Converter:
    def __init__(self, room: int) -> None:
        self._room = room

    def convert(self, value: Any, depth: int) -> Any:
        self._spend(1)
        if depth > MAX_DEPTH:
            raise TooLarge
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            self._spend(len(value))
            return exact_text(value)
        if isinstance(value, int):
            return int(value) if -_LARGEST <= value <= _LARGEST else self._as_text(int(value))
        if isinstance(value, float):
            return float(value) if value - value == 0 else None
        if isinstance(value, dict):
            return {self._key(key): self.convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.convert(item, depth + 1) for item in value]
        return self._convert_other(value, depth)

    def _convert_other(self, value: Any, depth: int) -> Any:
        if _is_missing(value):
            return None
        if callable(isoformat := getattr(value, "isoformat", None)):
            return self._as_text(isoformat())
        if callable(tolist := getattr(value, "tolist", None)):
            self._spend(getattr(value, "size", 0))
            listed = tolist()
            if type(listed) is not type(value):
                return self.convert(listed, depth + 1)
        return self._as_text(value)

    def _key(self, key: Any) -> str:
        return self.convert(key, 0) if isinstance(key, str) else self._as_text(key)

    def _as_text(self, value: Any) -> str:
        if type(value) is int:
            # Before they are worked out, which takes long for millions.
            self._spend(value.bit_length() * 3 // 10)
            return _digits(value)
        text = str(value)
        self._spend(len(text))
        return exact_text(text)

    def _spend(self, amount: int) -> None:
        self._room -= amount
        if self._room < 0:
            raise TooLarge


def _is_missing(value: Any) -> bool:
    """NaT and others that are not even equal to themselves, or will not say so: pandas' NA."""
    if getattr(value, "shape", ()) != ():
        return False
    try:
        return bool(value != value)
    except (TypeError, ArithmeticError):
        return True


def _digits(value: int) -> str:
    """Returns all digits of a number. The interpreter's limit, which is for untrusted input, is lifted meanwhile."""
    most = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return str(value)
    finally:
        sys.set_int_max_str_digits(most)
