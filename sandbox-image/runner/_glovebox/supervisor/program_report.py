"""Reads what a program says of its own run: its code may have written that."""

import json
import math
from typing import Any


def parse(line: bytes | bytearray) -> Any:
    """One JSON value of the report; None for what is no JSON, as the code may write anything there."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def error(value: Any) -> Any:
    try:
        texts = {key: value[key] for key in ("name", "value", "traceback") if isinstance(value[key], str)}
    except (TypeError, KeyError):
        return None
    more: dict[str, Any] = {key: value[key] for key in ("denied", "hint") if isinstance(value.get(key), str)}
    missing = value.get("missing")
    if isinstance(missing, dict) and all(isinstance(missing.get(key), str) for key in ("module", "package")):
        names = {key: missing[key] for key in ("module", "package")}
        more["missing"] = {**names, "known": missing.get("known") is True}
    return {**texts, **more} if len(texts) == 3 else None


def numbers(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of these names in what a program says of itself; 0 for what is no finite number."""
    known = value if isinstance(value, dict) else {}
    return {name: known[name] if _is_finite(known.get(name)) else 0 for name in names}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
