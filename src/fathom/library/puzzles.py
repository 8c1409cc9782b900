"""A model that solves puzzles, and its task."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from fathom.library.staged import StagedModel, task
from fathom.spec.recursive import Recursive

if TYPE_CHECKING:
    from fathom.tasks.solve import Solution, Solver


class PuzzleModel(StagedModel):
    """A recursive model. Made by `open`."""

    spec: Recursive

    @cached_property
    def _solver(self) -> Solver:
        from fathom.tasks.solve import Solver

        return Solver(self._module, self.spec, self._meter)  # type: ignore[arg-type]  # by the table of kinds

    @task
    def solve(self, puzzle: str, *, rounds: int | None = None) -> Solution:
        """Return what the model makes of a sudoku, round by round; it may be wrong, and says so.

        Args:
            puzzle: its cells row by row, a digit each, 0 or a full stop where one is to be found.
            rounds: how often the answer is refined at most; by default as it was trained.

        Raises:
            RequestError: for a puzzle of another size than the model's, one that contradicts
                itself, or fewer than one round.
        """
        return self._solver.solve(puzzle, rounds)
