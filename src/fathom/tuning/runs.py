"""Whole runs of training that can be named: the data, the model, the recipe, the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from fathom.checkpoint.description import Description
from fathom.checkpoint.published import published_spec
from fathom.checkpoint.saving import save
from fathom.dialects.dialect import find
from fathom.errors import RequestError, nearest
from fathom.tuning.puzzle_runs import PuzzleRun
from fathom.tuning.recipe import Recipe, Report
from fathom.tuning.results import Trained
from fathom.tuning.tone_runs import ToneRun


class Run(Protocol):
    """Something to train a model on.

    `lacking` names what may be left out of it, to see what that is worth.
    """

    @property
    def recipe(self) -> Recipe: ...

    @property
    def lacking(self) -> tuple[str, ...]: ...

    def perform(
        self, recipe: Recipe, watch: Callable[[Report], None], without: str | None = None
    ) -> Trained:
        """Train and test; everything drawn by chance follows from the recipe's seed."""
        ...


# Kind of model → name → run.
RUNS: Mapping[str, Mapping[str, Run]] = {
    "trm": {
        "sudoku-4": PuzzleRun(4, 64, Recipe(steps=400, batch=64, average=0.98)),
        "sudoku-6": PuzzleRun(6, 96, Recipe(steps=2000, batch=64)),
    },
    "whisper": {"tones": ToneRun(Recipe(steps=2000, batch=32, rate=3e-3, decay=0.01))},
}


def named(kind: str, name: str) -> Run:
    """Return the run of a name.

    Raises:
        RequestError: for an unknown one, naming those there are.
    """
    runs = RUNS.get(kind, {})
    if name not in runs:
        known = ", ".join(f"{kind} {name}" for kind, runs in RUNS.items() for name in runs)
        raise RequestError(
            f"there is no run '{name}' of {kind}.{nearest(name, runs)} Known are: {known}"
        )
    return runs[name]


def write(trained: Trained, recipe: Recipe, folder: Path) -> None:
    """Write a trained model as a checkpoint folder, with ``training.json`` on how it came to be.

    Raises:
        RequestError: when the folder exists already.
        WriteError: the disk is full or cannot be written; nothing is left behind.
    """
    spec = published_spec(trained.config)
    kind = str(trained.config["model_type"])
    description = Description(folder, trained.config, find(kind), spec, None)
    told = {"recipe": asdict(recipe), **trained.data, "outcome": asdict(trained.outcome)}
    notes = {"training.json": json.dumps(told, indent=2) + "\n"}
    parameters = dict(trained.model.named_parameters())
    save(description, parameters, folder, {**trained.files, **notes})
