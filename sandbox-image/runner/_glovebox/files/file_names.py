"""How names of files are shown to callers, and what callers mean.

A byte that is no UTF-8 is a lone surrogate in Python's text, which no strict reader of JSON takes; callers see and send
it as `\\xff`, and a backslash that would be read so as `\\x5c`. The other half is src/tar/names.ts.
"""

import re
from typing import Any

_SPELLED = re.compile(r"\\x(5c|[89a-f][0-9a-f])")
_TO_SPELL = re.compile("[\udc80-\udcff]|\\\\(?=x(?:5c|[89a-f][0-9a-f]))")


class LeftOut:
    """Names of what is not kept, spelled; the first of them."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._count = 0
        self._room = 8192

    def add(self, path: str) -> None:
        self._count += 1
        spelled = spell(path)
        self._room -= len(spelled)
        if self._room >= 0:
            self._names.append(spelled)

    def told(self) -> dict[str, Any]:
        return {"count": self._count, "names": self._names}


def spell(name: str) -> str:
    """Text that no other name has."""
    return _TO_SPELL.sub(_spell, name)


def unspell(spelled: str) -> str:
    return _SPELLED.sub(_unspell, spelled)


def _spell(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]) & 0xFF:x}"


def _unspell(found: re.Match[str]) -> str:
    byte = int(found[1], 16)
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)
