"""How long a step takes by what goes through the model in it, learned from steps that were taken.

    seconds = a · 1 + b · tokens read + c · sequences that write

is fitted by least squares to the steps of late, older ones counting less and less. A small ridge
keeps it sound where all steps were alike, such as while nobody read anything.
"""

from __future__ import annotations

import numpy as np

FADING = 0.99  # weight of a step beside the one after it: about a hundred steps are remembered
RIDGE = 1e-3  # of a step's own weight
READ, WRITTEN = 64.0, 8.0  # usual amounts in a step, so that the ridge weighs both alike


class Pace:
    """Seconds of a step, as far as steps were seen. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._squares = np.zeros((3, 3))
        self._seconds = np.zeros(3)
        self._found: tuple[float, float, float] | None = None

    @property
    def known(self) -> bool:
        """Whether any step was seen."""
        return self._found is not None

    def learn(self, read: int, written: int, seconds: float) -> None:
        """Take note of a step that read so many tokens beside so many sequences that wrote."""
        row = np.array([1.0, read / READ, written / WRITTEN])
        self._squares *= FADING
        self._squares += np.outer(row, row)
        self._seconds *= FADING
        self._seconds += row * seconds
        found = np.linalg.solve(self._squares + RIDGE * np.eye(3), self._seconds)
        each, reading, writing = np.maximum(found, 0.0).tolist()
        self._found = each, reading / READ, writing / WRITTEN

    def seconds(self, read: float, written: float) -> float:
        """Return the seconds of a step; 0 before any was seen."""
        each, reading, writing = self._found or (0.0, 0.0, 0.0)
        return each + reading * read + writing * written
