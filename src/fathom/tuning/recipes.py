"""Whole runs of training that can be named: the data, the model, the recipe, the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import torch

from fathom.checkpoint.description import Description
from fathom.checkpoint.published import published_spec
from fathom.checkpoint.saving import save
from fathom.dialects.dialect import find
from fathom.errors import RequestError, nearest
from fathom.inputs.sudoku import solved
from fathom.models.recursive import Recursive
from fathom.spec import recursive as spec
from fathom.spec.parts import count
from fathom.tasks.solve import SHIFT
from fathom.tuning.recursive import Puzzles, Recipe, Report, train, without_recursion
from fathom.tuning.sudoku import Maker, Repeated


@dataclass(frozen=True)
class Run:
    """A run on sudoku of one size: the model's shape and the recipe.

    `puzzles` are trained on, each in many disguises; `tested` are those that training never sees.
    """

    size: int
    config: Mapping[str, object]
    recipe: Recipe
    puzzles: int = 1000
    tested: int = 500


@dataclass(frozen=True)
class Outcome:
    """What a run came to; `solved` is the share of held-out puzzles that came out right."""

    parameters: int
    solved: float
    tested: int
    seconds: float
    loss: float


def _config(size: int, width: int) -> dict[str, object]:
    """Return a configuration in its authors' words, with layers across positions as theirs."""
    return {
        "model_type": "trm",
        "seq_len": size * size,
        "vocab_size": size + 2,
        "num_puzzle_identifiers": 1,
        "puzzle_emb_ndim": 0,
        "puzzle_emb_len": 0,
        "hidden_size": width,
        "num_heads": 4,
        "expansion": 2,
        "L_layers": 2,
        "H_cycles": 2,
        "L_cycles": 3,
        "halt_max_steps": 8,
        "pos_encodings": "none",
        "mlp_t": True,
    }


RUNS: Mapping[str, Run] = {
    "sudoku-4": Run(4, _config(4, 64), Recipe(steps=400, batch=64, average=0.98)),
    "sudoku-6": Run(6, _config(6, 96), Recipe(steps=2000, batch=64)),
}


def named(name: str) -> Run:
    """Return the run of a name.

    Raises:
        RequestError: for an unknown one, naming those there are.
    """
    if name not in RUNS:
        raise RequestError(
            f"there is no run '{name}'.{nearest(name, RUNS)} Known are: {', '.join(RUNS)}"
        )
    return RUNS[name]


def described(run: Run, *, recursion: bool = True) -> spec.Recursive:
    """Return the spec of what a run trains, or of the same parameters passed once."""
    found = published_spec(run.config)
    assert isinstance(found, spec.Recursive)
    return found if recursion else without_recursion(found)


def perform(
    run: Run, what: spec.Recursive, recipe: Recipe, watch: Callable[[Report], None]
) -> tuple[Recursive, Outcome]:
    """Train and test; the puzzles follow from the recipe's seed."""
    last = [float("nan")]

    def watched(report: Report) -> None:
        last[0] = report.loss
        watch(report)

    began = perf_counter()
    base = Maker(run.size, recipe.seed + 1, testing=False)(run.puzzles)
    model = train(what, Repeated(base, run.size, recipe.seed + 2), recipe, watched)
    seconds = perf_counter() - began
    puzzles = Maker(run.size, recipe.seed + 3, testing=True)(run.tested)
    share = exact(model, puzzles)
    return model, Outcome(count(what), share, run.tested, seconds, last[0])


@torch.inference_mode()
def exact(model: Recursive, puzzles: Puzzles) -> float:
    """Return the share of puzzles whose answer keeps every rule after all rounds."""
    answers = (model(puzzles[0]).argmax(dim=-1) - SHIFT).tolist()
    givens = (puzzles[0] - SHIFT).tolist()
    return sum(map(solved, answers, givens)) / len(givens)


def write(model: Recursive, run: Run, recipe: Recipe, outcome: Outcome, folder: Path) -> None:
    """Write the trained model as a checkpoint folder, with ``training.json`` on how it came to be.

    Raises:
        RequestError: when the folder exists already.
        WriteError: the disk is full or cannot be written; nothing is left behind.
    """
    description = Description(folder, run.config, find("trm"), model.spec, None)
    told = {"recipe": asdict(recipe), "puzzles": run.puzzles, "outcome": asdict(outcome)}
    notes = {"training.json": json.dumps(told, indent=2) + "\n"}
    save(description, dict(model.named_parameters()), folder, notes)
