"""The stages of one row in the processor's time of one thread; started by staged.py.

One thread, because neighbours on the machine hardly change its time on the processor, where two
wait for one another. Prints a line of JSON: for each stage what this machine's rates of one thread
predict, and the seconds of each turn.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter, process_time

import torch
from random_models import write_model
from staged_models import ROWS as USUAL
from staged_small import ROWS as SMALL

from fathom import library
from fathom.planning.stages import settled
from fathom.spec.work import Work
from fathom.tasks.loads import passes

SECONDS = 2.0  # that the turns of a stage may take together
TURNS = (3, 15)  # the fewest and the most
ROWS = {**SMALL, **USUAL}


def turns(stage: Callable[[], object]) -> list[float]:
    """Return the seconds of each turn of a stage."""
    stage()
    found: list[float] = []
    began = perf_counter()
    while len(found) < TURNS[0] or (perf_counter() - began < SECONDS and len(found) < TURNS[1]):
        before = process_time()
        stage()
        found.append(process_time() - before)
    return found


def measured(name: str) -> Mapping[str, object]:
    """Write a row's model, open it, and return what each of its stages takes for usual work."""
    row = ROWS[name]
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = write_model(row.config, Path(folder) / "model", row.encoding)
        model = library.open(str(path), dtype=row.dtype, device="cpu")
        torch.set_num_threads(1)
        work = settled(Work(), model.spec.usual)  # type: ignore[attr-defined]  # of a kind in stages
        taken = {key: turns(one) for key, one in passes(model, work).items()}  # type: ignore[arg-type]
        forecast = model.fit(work).seconds or {}  # type: ignore[attr-defined]  # the same kind
        passed = {one.name: one.passes for one in model.spec.stages(work)}  # type: ignore[attr-defined]
    stages = {
        key: {"predicted": forecast[key] / max(1, passed[key]), "turns": found}
        for key, found in taken.items()
    }
    return {"dtype": row.dtype, "stages": stages}


def main() -> None:
    """Print what a row found."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of native programs too
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(json.dumps(measured(sys.argv[2])))


if __name__ == "__main__":
    main()
