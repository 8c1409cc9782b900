"""How long a piece of work takes, when it has run before."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

FEWEST = 3  # passes that a figure rests on at least


def median_seconds(
    work: Callable[[], object], budget: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds of the median pass, after one to warm up, in `budget` seconds or more.

    By the `clock` of the wall, or of this thread where nothing else works for it.
    """
    work()
    passes: list[float] = []
    while len(passes) < FEWEST or sum(passes) < budget:
        before = clock()
        work()
        passes.append(clock() - before)
    return median(passes)
