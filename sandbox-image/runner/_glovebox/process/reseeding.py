"""Gives a forked program random numbers of its own, where the modules that it found loaded do not see to that."""

import os
import sys
from typing import Any

_unseeded: Any = None
"""Generators that modules made without a seed while they were imported; a WeakSet, once there may be any.

`random` itself has its functions' generator reseeded at each fork.
"""


class Recording:
    """Records each `random.Random` that is made without a seed while it is entered."""

    def __enter__(self) -> None:
        global _unseeded
        import random
        import weakref

        if _unseeded is None:
            _unseeded = weakref.WeakSet()
        self._random = random.Random
        self._seed = seed = random.Random.seed

        def note(generator: Any, a: Any = None, version: int = 2) -> None:
            (_unseeded.add if a is None else _unseeded.discard)(generator)
            seed(generator, a, version)

        setattr(random.Random, "seed", note)

    def __exit__(self, *_raised: object) -> None:
        setattr(self._random, "seed", self._seed)


def reseed() -> None:
    """Reseeds them in a program, before its code."""
    for generator in _unseeded or ():
        generator.seed()
    if legacy := sys.modules.get("numpy.random.mtrand"):
        legacy.seed()
    if process := sys.modules.get("multiprocessing.process"):
        process.current_process().authkey = os.urandom(32)
