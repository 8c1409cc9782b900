"""Sudoku to train on and to test with, told apart by what makes two grids the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch

from fathom.inputs import sudoku
from fathom.inputs.sudoku import Grid
from fathom.tasks.solve import encode
from fathom.tuning.recursive import Puzzles

HELD_OUT = 5  # one class of full grids in so many is for testing alone


def held_out(full: Grid) -> bool:
    """Return whether a full grid's class is for testing.

    All grids that differ by names, order and turning alone fall on one side, so no test puzzle is
    a training puzzle in disguise. The two classes of 4 × 4 make one each.
    """
    stands = 0
    for digit in sudoku.canonical(full):
        stands = (stands * 31 + digit) % 1_000_003
    return stands % HELD_OUT == 0 if len(full) > 16 else stands % 2 == 0


class Maker:
    """Makes puzzles of one size and side of the divide, as tokens."""

    def __init__(self, size: int, seed: int, *, testing: bool, givens: int = 0) -> None:
        self.size = size
        self.testing = testing
        self.givens = givens
        self._chance = Random(seed)

    def __call__(self, count: int) -> Puzzles:
        """Return questions and answers, both (count, cells)."""
        made = [self._one() for _ in range(count)]
        return encode([question for question, _ in made]), encode([full for _, full in made])

    def _one(self) -> tuple[Grid, Grid]:
        while True:
            question, full = sudoku.make(self.size, self._chance, self.givens)
            if held_out(full) is self.testing:
                return question, full


class Repeated:
    """Gives puzzles of a fixed set again and again, each time in another disguise."""

    def __init__(self, puzzles: Puzzles, size: int, seed: int) -> None:
        self.puzzles = puzzles
        self.size = size
        self._chance = Random(seed)

    def __call__(self, count: int) -> Puzzles:
        """Return so many of them, drawn at random, each with digits renamed and lines moved."""
        chosen = [self._chance.randrange(len(self.puzzles[0])) for _ in range(count)]
        moved = torch.tensor([self._cells() for _ in chosen])
        renamed = torch.tensor([self._digits() for _ in chosen])
        both = (side[torch.tensor(chosen)].gather(1, moved) for side in self.puzzles)
        question, answer = (renamed.gather(1, side) for side in both)
        return question, answer

    def _cells(self) -> Sequence[int]:
        high = sudoku.BOX_ROWS[self.size]
        rows, columns = self._lines(high), self._lines(self.size // high)
        return [row * self.size + column for row in rows for column in columns]

    def _lines(self, together: int) -> list[int]:
        bands = [list(range(at, at + together)) for at in range(0, self.size, together)]
        for band in bands:
            self._chance.shuffle(band)
        self._chance.shuffle(bands)
        return [line for band in bands for line in band]

    def _digits(self) -> Sequence[int]:
        """Return a token for each token: padding and the empty cell stay what they are."""
        digits = list(range(2, self.size + 2))
        self._chance.shuffle(digits)
        return [0, 1, *digits]
