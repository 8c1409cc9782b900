"""Runs that train a tiny recursive model on sudoku of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from fathom.checkpoint.published import published_spec
from fathom.inputs.sudoku import solved
from fathom.models.recursive import Recursive
from fathom.spec import recursive as spec
from fathom.spec.parts import count
from fathom.tasks.solve import SHIFT
from fathom.tuning.recipe import LastLoss, Recipe, Report
from fathom.tuning.recursive import Puzzles, averaging, begin, train, without_recursion
from fathom.tuning.results import Outcome, Trained
from fathom.tuning.sudoku import Maker, Repeated

AT_ONCE = 50  # puzzles answered together: what they hold stays in the processor's cache


@dataclass(frozen=True)
class Point:
    """What is solved after a step, by its own weights and by those averaged over time."""

    step: int
    last: float
    averaged: float
    seconds: float  # of training so far, without the tests


@dataclass(frozen=True)
class PuzzleRun:
    """Sudoku of one size: the model's width and the recipe.

    `puzzles` are trained on, each in many disguises; `tested` are those that training never sees.
    """

    size: int
    width: int
    recipe: Recipe
    puzzles: int = 1000
    tested: int = 500
    lacking = ("recursion", "average")

    @property
    def config(self) -> dict[str, object]:
        """The configuration in its authors' words, with layers across positions as theirs."""
        return {
            "model_type": "trm",
            "seq_len": self.size**2,
            "vocab_size": self.size + 2,
            "num_puzzle_identifiers": 1,
            "puzzle_emb_ndim": 0,
            "puzzle_emb_len": 0,
            "hidden_size": self.width,
            "num_heads": 4,
            "expansion": 2,
            "L_layers": 2,
            "H_cycles": 2,
            "L_cycles": 3,
            "halt_max_steps": 8,
            "pos_encodings": "none",
            "mlp_t": True,
        }

    def described(self, *, recursion: bool = True) -> spec.Recursive:
        """Return the spec of what is trained, or of the same parameters passed once."""
        found = published_spec(self.config)
        assert isinstance(found, spec.Recursive)
        return found if recursion else without_recursion(found)

    def perform(
        self, recipe: Recipe, watch: Callable[[Report], None], without: str | None = None
    ) -> Trained:
        """Train and test, without "recursion" or without the "average" of weights over time."""
        recipe = replace(recipe, average=0.0) if without == "average" else recipe
        watched = LastLoss(watch)
        began = perf_counter()
        what = self.described(recursion=without != "recursion")
        model = train(what, self._learned(recipe), recipe, watched)
        seconds = perf_counter() - began
        outcome = Outcome(
            count(what),
            exact(model, self._unseen(recipe)),
            self.tested,
            "puzzles it never saw",
            seconds,
            watched.loss,
        )
        return Trained(model, self.config, outcome, {"puzzles": self.puzzles})

    def curve(self, recipe: Recipe, every: int, *, recursion: bool = True) -> Iterator[Point]:
        """Train once and yield what the last and the averaged weights solve after `every` steps.

        The average is for answering alone and training does not see it, so one run measures both.
        """
        learned, unseen = self._learned(recipe), self._unseen(recipe)
        model = begin(self.described(recursion=recursion), recipe.seed)
        kept = deepcopy(model)
        seconds, began = 0.0, perf_counter()
        for report in averaging(kept, model, learned, recipe):
            if report.step % every == 0:
                seconds += perf_counter() - began
                yield Point(report.step, exact(model, unseen), exact(kept, unseen), seconds)
                began = perf_counter()

    def _learned(self, recipe: Recipe) -> Repeated:
        """Return the puzzles to train on, without end."""
        base = Maker(self.size, recipe.seed + 1, testing=False)(self.puzzles)
        return Repeated(base, self.size, recipe.seed + 2)

    def _unseen(self, recipe: Recipe) -> Puzzles:
        """Return the puzzles to test with."""
        return Maker(self.size, recipe.seed + 3, testing=True)(self.tested)


@torch.inference_mode()
def exact(model: Recursive, puzzles: Puzzles) -> float:
    """Return the share of puzzles whose answer keeps every rule after all rounds."""
    parts = [model(part).argmax(dim=-1) for part in puzzles[0].split(AT_ONCE)]
    answers = (torch.cat(parts) - SHIFT).tolist()
    givens = (puzzles[0] - SHIFT).tolist()
    return sum(map(solved, answers, givens)) / len(givens)
