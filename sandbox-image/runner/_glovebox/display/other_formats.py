"""What a mime bundle has beyond the formats of a result: other pictures become png, the rest is named."""

import binascii
import re
from typing import Any

from _glovebox.display import images, originals

OMITTED = "glovebox/omitted"
"""Key of a bundle: the mime types that a result has no format for."""
ORIGINAL = "glovebox/original"
"""Key of a bundle: `{"path", "size"}` of the whole picture."""
MAX_OMITTED = 8
_KEPT = ("image/", "video/", "audio/", "application/pdf")
"""What is worth a file, as no result shows it."""
_PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8"}
"""How the pictures begin that a result has."""
_EXTENSIONS = {"audio/mpeg": "mp3", "image/x-icon": "ico", "image/vnd.microsoft.icon": "ico", "video/quicktime": "mov"}


def translate(bundle: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """The bundle with a png of what is a picture of another kind, and the other mime types named.

    Where no format but text is left, the text says what cannot be shown, and why.
    """
    others = [mime for mime in bundle if isinstance(mime, str) and _is_foreign(mime, bundle[mime], known)]
    if not others:
        return bundle
    result = {mime: data for mime, data in bundle.items() if mime not in others}
    notes = []
    for mime in others:
        note = _show_picture(mime, bundle[mime], result) if mime.startswith("image/") else _name(mime, bundle[mime], result)
        if note:
            notes.append(note)
            if mime not in _PICTURES:
                result[OMITTED] = [*result.get(OMITTED, []), mime[:100]][:MAX_OMITTED]
    if notes and not any(mime in result for mime in known if mime != "text/plain"):
        text = result.get("text/plain")
        result["text/plain"] = "\n".join([*([text] if isinstance(text, str) else []), *notes[:MAX_OMITTED]])
    # What only claims to be a png or jpeg counts as left out.
    return {**result, **{mime: bundle[mime] for mime in others if mime in _PICTURES and mime not in result}}


def is_json(mime: str) -> bool:
    """Returns whether a format is JSON that describes a picture, such as one of plotly or vega-lite, or a map."""
    return mime.startswith("application/") and mime.endswith("json") and "jupyter" not in mime


def _is_foreign(mime: str, data: Any, known: tuple[str, ...]) -> bool:
    if data is None or mime.startswith("glovebox/"):
        return False
    if mime in _PICTURES:
        return not begins_as(mime, data)
    return mime not in known and not (is_json(mime) and not isinstance(data, str))


def begins_as(mime: str, data: Any) -> bool:
    """Whether it begins as a png or jpeg does."""
    try:
        begin = data[:16] if isinstance(data, str) else memoryview(data).cast("B")[:16]
    except (TypeError, ValueError):
        return False
    return (decode(begin) or b"").startswith(_PICTURES[mime])


def decode(data: Any) -> bytes | None:
    """The bytes of a picture, which may be base64; None if they cannot be had."""
    try:
        return binascii.a2b_base64(data) if isinstance(data, str) else bytes(memoryview(data))
    except (TypeError, ValueError):
        return None


def _show_picture(mime: str, given: Any, result: dict[str, Any]) -> str | None:
    """Adds the picture's first frame to the result, and the picture itself as a file; or tells why it cannot."""
    data = decode(given)
    if not data:
        return f"[{mime} could not be shown: it has no bytes, and no base64]"
    frame, reason = images.first_frame(data)
    has_picture = any(each in result for each in _PICTURES)
    if frame is not None and has_picture:
        return None
    if ORIGINAL not in result:
        result[ORIGINAL] = originals.keep(lambda file: file.write(data), extension_of(mime))
    if frame is not None:
        result.update(frame)
        return None
    return f"[{mime}, {len(data)} bytes, could not be shown: {reason}{_place_of(result)}]"


def _name(mime: str, given: Any, result: dict[str, Any]) -> str:
    if mime.startswith(_KEPT) and ORIGINAL not in result and (data := decode(given)):
        result[ORIGINAL] = originals.keep(lambda file: file.write(data), extension_of(mime))
        return f"[{mime}, {len(data)} bytes, cannot be shown{_place_of(result)}]"
    return f"[{mime[:100]} cannot be shown]"


def _place_of(result: dict[str, Any]) -> str:
    original = result.get(ORIGINAL)
    return f"; it is in {original['path']}" if original else ""


def extension_of(mime: str) -> str:
    """A file's extension for that type."""
    return _EXTENSIONS.get(mime) or re.sub(r"\W|^x-", "", mime.partition("/")[2].lower())[:16] or "bin"
