"""Whether packages fit on the session's disk: asked before any of them is fetched."""

import http.client
import os
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from _glovebox.packages.outcomes import Failure
from _glovebox.paths import INDEX_ADDRESS, WORKSPACE

MOST_PACKED = 8
"""What is larger unpacked by more than that does not come in wheels."""
LARGE = 1_000_000
"""Bytes of a wheel from which on it is asked how large it is unpacked."""
MAX_ASKED = 40
ASKING_LIMIT_S = 8
MAX_NAMED = 5


@dataclass
class Wheel:
    """A file that is to be installed."""

    name: str
    version: str
    size: int
    """Bytes, by the index; 0 where it names none."""
    url: str
    unpacked: int | None = None

    @property
    def least(self) -> int:
        """Bytes on the disk, at least."""
        return self.size if self.unpacked is None else max(self.size, self.unpacked)


def read_wheels(packages: list[dict[str, Any]]) -> list[Wheel]:
    """The files of the packages of a lock (PEP 751), one each; sources and what has no size are left to chance."""
    wheels = []
    for package in packages:
        for wheel in package.get("wheels", [])[:1]:
            wheels.append(Wheel(package["name"], package["version"], wheel.get("size", 0), wheel.get("url", "")))
    return wheels


def check(wheels: list[Wheel]) -> None:
    """Raises Failure when these cannot fit."""
    room = os.statvfs(WORKSPACE)
    free = room.f_bavail * room.f_frsize
    if sum(wheel.size for wheel in wheels) <= free < sum(wheel.size for wheel in wheels) * MOST_PACKED:
        _ask_unpacked(wheels, free)
    needed = sum(wheel.least for wheel in wheels)
    if needed > free:
        total = room.f_blocks * room.f_frsize
        raise Failure(_describe(wheels, needed, free, total), denied="disk")


def _ask_unpacked(wheels: list[Wheel], free: int) -> None:
    """Learns the unpacked sizes of the largest, as far as that decides; an index that tells none is left alone."""
    connection = http.client.HTTPConnection(*INDEX_ADDRESS, timeout=ASKING_LIMIT_S)
    until = time.monotonic() + ASKING_LIMIT_S
    try:
        for wheel in sorted(wheels, key=lambda wheel: -wheel.size)[:MAX_ASKED]:
            if wheel.size < LARGE or sum(each.least for each in wheels) > free or time.monotonic() > until:
                return
            connection.request("GET", f"{urlsplit(wheel.url).path}.unpacked")
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                wheel.unpacked = int(text)
    except (OSError, ValueError, http.client.HTTPException):
        return
    finally:
        connection.close()


def _describe(wheels: list[Wheel], needed: int, free: int, total: int) -> str:
    large = sorted(wheels, key=lambda wheel: -wheel.least)
    named = [f"{wheel.name} {wheel.version}: {_megabytes(wheel.least)}" for wheel in large[:MAX_NAMED]]
    more = len(wheels) - len(named)
    known = any(wheel.unpacked for wheel in wheels)
    return (
        f"It does not fit: {'unpacked it takes' if known else 'its files alone are'} {_megabytes(needed)}"
        f" or more ({', '.join(named)}{f', and {more} more' if more > 0 else ''}),"
        f" and the session's disk of {_megabytes(total)} has {_megabytes(free)} free. Nothing was fetched."
    )


def _megabytes(size: int) -> str:
    """The size in MB, the unit of the settings."""
    mebibytes = size / 2**20
    return f"{mebibytes:.1f} MB" if mebibytes < 10 else f"{mebibytes:.0f} MB"
