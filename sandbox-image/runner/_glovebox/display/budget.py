"""Fits a mime bundle into a budget of bytes, as one line of JSON."""

import binascii
import json
from typing import Any

from _glovebox.display import html_text, images, originals, other_formats
from _glovebox.display.other_formats import OMITTED, ORIGINAL
from _glovebox.display.plain_json import TooLarge, exact_text, plain

TRUNCATED = "glovebox/truncated"
"""Key of a bundle: formats (`["png"]`) that were scaled down already."""
TABLE = "glovebox/table"
"""Key of a bundle: true for a table that is data of the code's own, which needs no file."""
MAX_TEXT = 16_000
MAX_TABLE = 32_000
"""Characters, as JSON, of the text beside other formats, and of a table's."""
MAX_KEPT = 32 << 20
"""Characters of a format that is kept as a file."""
KEPT_FROM = 20_000
"""Characters from which a format is kept as a file too: an answer over MCP leaves it out (`src/mcp/call-result.ts`)."""
MAX_PARTS = 4 << 20
"""Bytes of a JSON value that is kept as a file."""

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
_EXTENSIONS = {"svg": "svg", "latex": "tex", "markdown": "md", "json": "json", "html": "html", "text": "txt"}
_RESERVE = 128
"""Bytes for punctuation and the names in `truncated`."""


def fit(bundle: dict[str, Any], room: int) -> bytes | None:
    """The line, at most `room` bytes; None when nothing of the bundle is of a known type."""
    bundle = other_formats.translate(bundle, tuple(_FORMATS))
    given = _by_format(bundle)
    if not given:
        return None
    if TABLE not in bundle:
        html_text.improve(given)
    return _Fitting(bundle, room).line(given)


def _by_format(bundle: dict[str, Any]) -> dict[str, Any]:
    given = {name: bundle[mime] for mime, name in _FORMATS.items() if bundle.get(mime) is not None}
    if "json" not in given:
        given |= {"json": value for mime, value in bundle.items() if isinstance(mime, str) and other_formats.is_json(mime)}
    return given


class _Fitting:
    """One result in the making: the richest formats first, then text in the rest, which is at least a quarter."""

    def __init__(self, bundle: dict[str, Any], room: int) -> None:
        self._truncated: list[str] = list(bundle.get(TRUNCATED) or ())
        self._omitted: list[str] = [exact_text(mime) for mime in bundle.get(OMITTED) or ()]
        self._keeps = TABLE not in bundle
        self._originals: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, str] = {}
        self._left = room - _RESERVE - (len(json.dumps(self._omitted)) + 14 if self._omitted else 0)
        if original := bundle.get(ORIGINAL):
            self._add_original("png", original)

    def line(self, given: dict[str, Any]) -> bytes:
        text = given.pop("text", None)
        text = exact_text(text) if isinstance(text, str) else None
        for_text = min(self._left // 4, 6 * len(text), MAX_TEXT if given else self._left) + 12 if text else 0
        for name in _FORMATS.values():
            if name in given:
                try:
                    part = self._encode(name, given[name], self._left - for_text - len(name) - 6)
                except Exception:  # noqa: BLE001 - the code's own object has failed to be written
                    part = None
                self._take(name, part)
        if text is not None:
            self._take_text(text, alone=not given)
        if self._truncated:
            self._parts["truncated"] = json.dumps(list(dict.fromkeys(self._truncated)))
        if self._originals:
            self._parts["original"] = json.dumps(self._most_telling_original())
        if len(self._originals) > 1:
            self._parts["originals"] = json.dumps(self._originals)
        if self._omitted:
            self._parts["omitted"] = json.dumps(self._omitted)
        return ("{" + ", ".join(f'"{name}": {part}' for name, part in self._parts.items()) + "}\n").encode()

    def _take(self, name: str, part: str | None) -> None:
        if part is None:
            self._truncated.append(name)
        else:
            self._parts[name] = part
            self._left -= len(part) + len(name) + 6

    def _take_text(self, text: str, *, alone: bool) -> None:
        """Its head and tail, where it is too long; the whole is kept if there is no other format to turn to."""
        room = self._left - 12
        if not alone:
            room = min(room, MAX_TEXT if self._keeps else MAX_TABLE)
        elif len(text) > room or len(json.dumps(text)) > room:
            room -= self._keep("text", text)
        self._take("text", self._encode_text("text", text, room))

    def _encode(self, name: str, value: Any, room: int) -> str | None:
        """JSON of at most `room` characters, or None."""
        if name in ("png", "jpeg"):
            return self._encode_picture(name, value, room)
        if name == "json":
            return self._encode_json(value, room)
        if not isinstance(value, str):
            return None
        text = exact_text(value)
        part = json.dumps(text) if len(text) <= room else None
        if part is None or len(part) > min(room, KEPT_FROM):
            room -= self._keep(name, text)
        if part is not None and len(part) <= room:
            return part
        return self._encode_text(name, text, room) if name == "markdown" else None

    def _encode_json(self, value: Any, room: int) -> str | None:
        try:
            part = json.dumps(plain(value, room))
        except TooLarge:
            part = None
        if part is None or len(part) > min(room, KEPT_FROM):
            room -= self._keep("json", part or json.dumps(plain(value, MAX_PARTS)))
        return part if part is not None and len(part) <= room else None

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
        data = other_formats.decode(value) if other_formats.begins_as(f"image/{name}", value) else None
        if data is None:
            return None
        if len(data) * 4 // 3 + 8 > room or images.is_too_large(data):
            smaller = images.shrink(data, (room - 8) * 3 // 4)
            if "png" not in self._originals and "jpeg" not in self._originals:
                self._add_original(name, originals.keep(lambda file: file.write(data), name))
            if smaller is None:
                return None
            self._truncated.append(name)
            data = smaller
        return f'"{binascii.b2a_base64(data, newline=False).decode()}"'

    def _keep(self, name: str, text: str) -> int:
        """Keeps a format whole as a file, unless it is a table's. Returns the characters that naming it takes."""
        if not self._keeps or len(text) > MAX_KEPT:
            return 0
        return self._add_original(name, originals.keep(lambda file: file.write(text.encode()), _EXTENSIONS[name]))

    def _add_original(self, name: str, original: dict[str, Any] | None) -> int:
        if original is None:
            return 0
        self._originals[name] = original
        # Twice: as the one and among all.
        size = 2 * len(json.dumps(original)) + 2 * len(name) + 48
        self._left -= size
        return size

    def _most_telling_original(self) -> dict[str, Any]:
        order = ("png", "jpeg", "html", *self._originals)
        return next(self._originals[name] for name in order if name in self._originals)
