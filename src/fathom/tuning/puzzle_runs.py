"""Runs that train a tiny recursive model on sudoku of one size."""

from __future__ import annotations

from collections.abc import Callable
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
from fathom.tuning.recursive import Puzzles, train, without_recursion
from fathom.tuning.results import Outcome, Trained
from fathom.tuning.sudoku import Maker, Repeated


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
        base = Maker(self.size, recipe.seed + 1, testing=False)(self.puzzles)
        what = self.described(recursion=without != "recursion")
        model = train(what, Repeated(base, self.size, recipe.seed + 2), recipe, watched)
        seconds = perf_counter() - began
        puzzles = Maker(self.size, recipe.seed + 3, testing=True)(self.tested)
        outcome = Outcome(
            count(what),
            exact(model, puzzles),
            self.tested,
            "puzzles it never saw",
            seconds,
            watched.loss,
        )
        return Trained(model, self.config, outcome, {"puzzles": self.puzzles})


@torch.inference_mode()
def exact(model: Recursive, puzzles: Puzzles) -> float:
    """Return the share of puzzles whose answer keeps every rule after all rounds."""
    answers = (model(puzzles[0]).argmax(dim=-1) - SHIFT).tolist()
    givens = (puzzles[0] - SHIFT).tolist()
    return sum(map(solved, answers, givens)) / len(givens)
