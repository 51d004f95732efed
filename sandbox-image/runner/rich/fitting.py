"""Fits a mime bundle into a budget of bytes, as one line of JSON."""

import binascii
import json
from typing import Any

from . import pictures
from .plain import TooLarge, exact_text, plain

TRUNCATED = "glovebox/truncated"
"""In a bundle: formats (`["png"]`) that were scaled down already."""
ORIGINAL = "glovebox/original"
"""In a bundle: `{"path", "size"}` of the unscaled picture."""

_FORMATS = {
    "text/plain": "text",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/svg+xml": "svg",
    "text/latex": "latex",
    "text/markdown": "markdown",
    "application/json": "json",
    "text/html": "html",
}
_RESERVE = 128
"""For punctuation and the names in `truncated`."""


def fit(bundle: dict[str, Any], room: int) -> bytes | None:
    """The line, at most `room` bytes; None when nothing of the bundle is of a known type."""
    given = _by_format(bundle)
    if not given:
        return None
    return _Fitting(bundle, room).line(given)


def _by_format(bundle: dict[str, Any]) -> dict[str, Any]:
    given = {name: bundle[mime] for mime, name in _FORMATS.items() if bundle.get(mime) is not None}
    if "json" not in given:
        # Those of plotly and vega-lite.
        for mime, value in bundle.items():
            if isinstance(mime, str) and mime.startswith("application/vnd.") and mime.endswith("json"):
                if "jupyter" not in mime:
                    given["json"] = value
    return given


class _Fitting:
    """One result that takes shape: the most telling formats first, text in what they leave, a quarter at least."""

    def __init__(self, bundle: dict[str, Any], room: int) -> None:
        self._truncated: list[str] = list(bundle.get(TRUNCATED) or ())
        self._original: dict[str, Any] | None = bundle.get(ORIGINAL)
        self._parts: dict[str, str] = {}
        self._left = room - _RESERVE - (len(json.dumps(self._original)) + 16 if self._original else 0)

    def line(self, given: dict[str, Any]) -> bytes:
        text = given.pop("text", None)
        text = exact_text(text) if isinstance(text, str) else None
        for_text = min(self._left // 4, 6 * len(text)) + 12 if text else 0
        for name in _FORMATS.values():
            if name in given:
                try:
                    part = self._encode(name, given[name], self._left - for_text - len(name) - 6)
                except Exception:  # noqa: BLE001 - the code's own object has failed to be written
                    part = None
                self._take(name, part)
        if text is not None:
            self._take("text", self._encode_text("text", text, self._left - 12))
        if self._truncated:
            self._parts["truncated"] = json.dumps(list(dict.fromkeys(self._truncated)))
        if self._original:
            self._parts["original"] = json.dumps(self._original)
        return ("{" + ", ".join(f'"{name}": {part}' for name, part in self._parts.items()) + "}\n").encode()

    def _take(self, name: str, part: str | None) -> None:
        if part is None:
            self._truncated.append(name)
        else:
            self._parts[name] = part
            self._left -= len(part) + len(name) + 6

    def _encode(self, name: str, value: Any, room: int) -> str | None:
        """JSON of at most `room` characters, or None."""
        if name in ("png", "jpeg"):
            return self._encode_picture(name, value, room)
        if name == "json":
            try:
                part = json.dumps(plain(value, room))
            except TooLarge:
                return None
        elif not isinstance(value, str) or len(value) > room and name != "markdown":
            return None
        elif name == "markdown":
            return self._encode_text(name, exact_text(value), room)
        else:
            part = json.dumps(exact_text(value))
        return part if len(part) <= room else None

    def _encode_text(self, name: str, text: str, room: int) -> str | None:
        """Head and tail of a text that is too long."""
        if len(text) <= room and len(part := json.dumps(text)) <= room:
            return part
        self._truncated.append(name)
        half = (room - 64) // 2
        while half > 0:
            left_out = len(text) - 2 * half
            if left_out > 0:
                part = json.dumps(f"{text[:half]}\n… {left_out} characters left out …\n{text[-half:]}")
                if len(part) <= room:
                    return part
                half = min(half - 1, half * room // len(part))
            else:
                half //= 2
        return None

    def _encode_picture(self, name: str, value: Any, room: int) -> str | None:
        data = binascii.a2b_base64(value) if isinstance(value, str) else bytes(memoryview(value))
        if not data.startswith(b"\x89PNG\r\n\x1a\n" if name == "png" else b"\xff\xd8"):
            return None
        if len(data) * 4 // 3 + 8 > room or pictures.is_too_large(data):
            smaller = pictures.shrink(data, (room - 8) * 3 // 4)
            self._keep_original(data)
            if smaller is None:
                return None
            self._truncated.append(name)
            data = smaller
        return f'"{binascii.b2a_base64(data, newline=False).decode()}"'

    def _keep_original(self, data: bytes) -> None:
        if self._original is None:
            extension = "png" if data.startswith(b"\x89") else "jpeg"
            self._original = pictures.keep(lambda file: file.write(data), extension)
            if self._original:
                self._left -= len(json.dumps(self._original)) + 16
