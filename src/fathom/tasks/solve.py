"""Solving a sudoku with a recursive model: tokens in, rounds, an answer that is checked."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from time import perf_counter

import torch
from torch import Tensor

from fathom.errors import RequestError
from fathom.generation.stage_meter import StageMeter
from fathom.inputs import sudoku
from fathom.inputs.sudoku import Grid
from fathom.models.recursive import Recursive, Round
from fathom.spec import recursive as spec

SHIFT = 1  # a cell's token is its digit and one more: 0 is padding, 1 an empty cell


@dataclass(frozen=True)
class Solution:
    """What a model makes of a puzzle. `right` is checked by the rules, not believed.

    `rounds` are those that were taken; `answers` are the grids after each, the last one `cells`.
    `halted` is the round after which the model thought itself right, None if it never did.
    """

    puzzle: Grid
    cells: Grid
    right: bool
    rounds: int
    halted: int | None
    answers: tuple[Grid, ...]
    seconds: float

    @property
    def text(self) -> str:
        return sudoku.write(self.cells)


class Solver:
    """Drives a recursive model until it thinks itself right or its rounds are over."""

    def __init__(
        self, model: Recursive, described: spec.Recursive, meter: StageMeter | None = None
    ) -> None:
        self.model = model
        self.spec = described
        self.meter = meter or StageMeter()

    def solve(self, text: str, rounds: int | None = None) -> Solution:
        """Return what the model makes of a sudoku; `rounds` is the most that it may take.

        Raises:
            RequestError: for a puzzle of another size than the model's, or no rounds.
        """
        puzzle = sudoku.read(text)
        self._check(puzzle, rounds)
        began = perf_counter()
        answers, halted = self._refined(puzzle, self.spec.rounds if rounds is None else rounds)
        return Solution(
            puzzle=puzzle,
            cells=answers[-1],
            right=sudoku.solved(answers[-1], puzzle),
            rounds=len(answers),
            halted=halted,
            answers=tuple(answers),
            seconds=perf_counter() - began,
        )

    def _check(self, puzzle: Grid, rounds: int | None) -> None:
        if len(puzzle) != self.spec.length:
            size = isqrt(self.spec.length)
            raise RequestError(
                f"this model solves sudoku of {size} rows, and the puzzle has"
                f" {isqrt(len(puzzle))}; give one of that size"
            )
        if rounds is not None and rounds < 1:
            raise RequestError(f"{rounds} rounds: at least one is needed for an answer")

    @torch.inference_mode()
    def _refined(self, puzzle: Grid, rounds: int) -> tuple[list[Grid], int | None]:
        tokens = encode([puzzle])
        question, carry = self.model.question(tokens), self.model.start(1)
        answers: list[Grid] = []
        for taken in range(1, rounds + 1):
            with self.meter.stage("refining"):
                found = self.model.round(question, carry)
            carry = found.carry
            answers.append(decode(found)[0])
            if found.halting.item() > 0:
                return answers, taken
        return answers, None


def encode(grids: list[Grid]) -> Tensor:
    """Return grids as tokens: (grids, cells)."""
    return torch.tensor(grids) + SHIFT


def decode(found: Round) -> list[Grid]:
    """Return the likeliest digit of every cell; what is no digit counts as an empty cell."""
    tokens = found.scores.argmax(dim=-1) - SHIFT
    return [tuple(row) for row in tokens.clamp(min=0).tolist()]
