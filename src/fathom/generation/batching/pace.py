"""How long a step takes by what goes through the model in it, learned from steps that were taken.

    seconds = a · 1 + b · tokens read + c · sequences that write

is fitted by least squares to the steps of late, older ones counting less and less. A small ridge
keeps it sound where all steps were alike, such as while nobody read anything.
"""

from __future__ import annotations

from dataclasses import dataclass

FADING = 0.99  # weight of a step beside the one after it: about a hundred steps are remembered
RIDGE = 1e-3  # of a step's own weight
READ, WRITTEN = 64.0, 8.0  # usual amounts in a step, so that the ridge weighs both alike


@dataclass(frozen=True)
class Law:
    """Seconds that every step takes, a token read in it, and a sequence that writes in it."""

    each: float = 0.0
    reading: float = 0.0
    writing: float = 0.0

    def seconds(self, read: float, written: float) -> float:
        """Return the seconds of a step."""
        return self.each + self.reading * read + self.writing * written


class Pace:
    """What steps took lately. Written by one thread at every step, asked by any now and then."""

    def __init__(self) -> None:
        # Σ of 1, x, y, xx, xy, yy, s, xs, ys over steps, x and y being read and written.
        self._sums: tuple[float, ...] = (0.0,) * 9

    def learn(self, read: int, written: int, seconds: float) -> None:
        """Take note of a step that read so many tokens beside so many sequences that wrote."""
        x, y, s = read / READ, written / WRITTEN, seconds
        step = (1.0, x, y, x * x, x * y, y * y, s, x * s, y * s)
        pairs = zip(self._sums, step, strict=True)
        self._sums = tuple([FADING * before + own for before, own in pairs])

    @property
    def empty(self) -> bool:
        """Whether no step was taken yet."""
        return self._sums[0] == 0.0

    def law(self) -> Law:
        """Return what a step takes as far as any was seen; nothing before."""
        import numpy as np

        n, x, y, xx, xy, yy, s, xs, ys = self._sums
        squares = np.array([[n, x, y], [x, xx, xy], [y, xy, yy]]) + RIDGE * np.eye(3)
        found = np.linalg.solve(squares, np.array([s, xs, ys]))
        each, reading, writing = np.maximum(found, 0.0).tolist()
        return Law(each, reading / READ, writing / WRITTEN)
