"""Whether a step still goes on or hangs: how long it has run, and how long it may at the most.

While a native step hangs, the interpreter beside it is as well as ever and says so to whoever asks.
So what counts as a sign of life is progress: a step ends within several times what such steps take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

from fathom.generation.batching.pace import Law, Pace
from fathom.generation.batching.track import Work

FOREVER = float("inf")
SEVERAL = 8.0  # times what is expected: others may take the processor, and keys grow in number


@dataclass(frozen=True, slots=True)
class Amounts:
    """What goes through the model in a step: tokens read, and sequences that write."""

    read: int
    written: int

    @classmethod
    def of(cls, works: Sequence[Work]) -> Amounts:
        """Return those of some works."""
        through = [work.through for work in works]
        written = sum(count == 1 for count in through)
        return cls(sum(through) - written, written)


class Progress:
    """The step at hand. Written by the worker at every step, asked by anybody now and then.

    Attributes:
        expected: what steps were predicted to take, before any was taken; None where nobody did.
    """

    def __init__(self, pace: Pace, least: float, opening: float) -> None:
        """Take what is learned of steps, and the seconds that each may take whatever is expected.

        The first one may take `opening` seconds: it loads what opening the model left.
        """
        self.expected: Law | None = None
        self._pace = pace
        self._least = least
        self._opening = opening
        self._step: tuple[float, Amounts] | None = None

    def begin(self, amounts: Amounts) -> None:
        """Note that a step begins."""
        self._step = monotonic(), amounts

    def end(self) -> None:
        """Note that it ended, however it did."""
        self._step = None

    def now(self) -> tuple[float, float]:
        """Return how long the step at hand has run, and how long it may; both 0 between steps."""
        step = self._step
        if step is None:
            return 0.0, 0.0
        began, amounts = step
        return monotonic() - began, self.longest(amounts)

    def longest(self, amounts: Amounts) -> float:
        """Return the seconds beyond which a step hangs, as far as anything is known of steps."""
        law, expected = self._pace.law(), self.expected
        if self._pace.empty:
            if expected is None:
                return FOREVER
            return max(self._least, self._opening, SEVERAL * expected.seconds(*_both(amounts)))
        if expected is None:  # a token that is read takes no longer than one that is written
            expected = replace(law, reading=law.each + law.writing)
        usual = max(law.seconds(*_both(amounts)), expected.seconds(*_both(amounts)))
        return max(self._least, SEVERAL * usual)


def _both(amounts: Amounts) -> tuple[int, int]:
    return amounts.read, amounts.written
