"""A model that works in stages, measured stage by stage under a load of its own making.

       ┌ once: every stage in turn, what it leaves for the next kept; the memory is watched
work ──┤
       └ each round: one pass of every stage, timed by itself
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import torch

from fathom.errors import RequestError
from fathom.generation.bench import Loaded, Rounds, held, wait_for
from fathom.planning.contention import turns
from fathom.planning.memory_watch import Watch
from fathom.planning.records import (
    ALLOCATOR,
    GROWTH,
    LOADING,
    MEMORY,
    PASS_SECONDS,
    TOTAL,
    WAITED,
    Figure,
)
from fathom.planning.stages import StagedPrediction
from fathom.spec.work import Staged, Work
from fathom.tasks.loads import Opened, passes


@dataclass(frozen=True, slots=True)
class StagedRow:
    """What some work took: seconds of one pass of each stage, by its name.

    Bytes are of the accelerator's allocator where there is one, else of the process: `before`
    when the work began, `peak` at the most. `process_peak`, `exact` and `waited` are as
    `generation.bench.Row` has them.
    """

    work: Work
    stages: Mapping[str, Rounds]
    before: int
    peak: int
    process_peak: int
    exact: bool
    waited: float | None


def measure_stages(
    model: Opened,
    work: Work,
    rounds: int,
    progress: Callable[[int], None] = lambda done: None,
) -> StagedRow:
    """Measure some work, settled; `progress` is called with 1 after the first go and each round.

    Raises:
        RequestError: for no rounds.
        UnsupportedTaskError: for a kind of model that is not measured by its stages.
    """
    if rounds < 1:
        raise RequestError(f"{rounds} rounds measure nothing: name at least 1")
    device = model.device
    before, began = held(device), turns()
    with torch.inference_mode():
        peak, process_peak, exact, run = _watched(model, work)
        progress(1)
        seconds: dict[str, list[float]] = {name: [] for name in run}
        for _ in range(rounds):
            for name, once in run.items():
                seconds[name].append(_timed(once, device))
            progress(1)
    return StagedRow(
        work=work,
        stages={name: Rounds(tuple(taken)) for name, taken in seconds.items()},
        before=before,
        peak=peak,
        process_peak=process_peak,
        exact=exact,
        waited=turns().since(began),
    )


def use_stages_once(model: Opened, work: Work) -> None:
    """Pass every stage once."""
    for once in passes(model, work).values():
        once()


def _watched(
    model: Opened, work: Work
) -> tuple[int, int, bool, Mapping[str, Callable[[], object]]]:
    """Return peak, the process's peak, whether that is exact, and the passes that were made."""
    on_device = model.device.type == "cuda"
    if on_device:
        torch.cuda.reset_peak_memory_stats(model.device)
    with Watch() as watch:
        run = passes(model, work)
        for once in run.values():
            once()
        wait_for(model.device)
    peak = torch.cuda.max_memory_allocated(model.device) if on_device else watch.peak
    return peak, watch.peak, watch.exact, run


def _timed(once: Callable[[], object], device: torch.device) -> float:
    began = perf_counter()
    once()
    wait_for(device)
    return perf_counter() - began


def stage_figures(
    row: StagedRow, loaded: Loaded, predicted: StagedPrediction, spec: Staged, on_device: bool
) -> dict[str, Figure]:
    """Return what was predicted of some work beside what was measured, by the names of a record.

    Seconds are of one pass. `on_device` is as `generation.bench.figures` has it.
    """
    of_stage = {stage.name: stage.passes for stage in spec.stages(predicted.work)}
    forecast = predicted.seconds or {}
    found = {
        name + PASS_SECONDS: Figure(
            forecast[name] / of_stage[name] if forecast.get(name) and of_stage[name] else None,
            taken.median,
            taken.spread,
        )
        for name, taken in row.stages.items()
    }
    base = 0 if on_device else loaded.base
    weights = sum(size for name, size in predicted.terms.items() if name.startswith("weights"))
    working = predicted.terms["kept"] + predicted.terms["workspace"]
    found |= {
        MEMORY + "weights": Figure(weights, loaded.weights),
        MEMORY + "working": Figure(working, max(row.peak - row.before, 0)),
        GROWTH: Figure(weights + working, row.peak - base),
        MEMORY + "runtime": Figure(predicted.terms.get("runtime"), loaded.base),
        TOTAL: Figure(None if on_device else predicted.total_bytes, row.process_peak),
        LOADING: Figure(None, loaded.peak),
        WAITED: Figure(None, row.waited),
    }
    return found | ({ALLOCATOR: Figure(weights + working, row.peak)} if on_device else {})
