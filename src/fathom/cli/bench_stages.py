"""`fathom bench` of a model that works in stages: each stage measured beside its prediction."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fathom.cli.bench import LABELS, notes
from fathom.cli.bench import counted as counted_bar
from fathom.cli.output import Json, byte_text, plain, print_columns, print_json, seconds_text
from fathom.errors import DoesNotFitError, RequestError
from fathom.planning.asking import require_work, work_text
from fathom.planning.machine import this_machine
from fathom.planning.records import LOAD, MEMORY, PASS_SECONDS, Figure, new_record, settings
from fathom.planning.stages import settled
from fathom.planning.store import keep, recording
from fathom.spec.work import Staged, Work

if TYPE_CHECKING:
    from fathom.generation.bench import Loaded
    from fathom.library.staged import StagedModel
    from fathom.tasks.stage_bench import StagedRow

Found = tuple["StagedRow", Mapping[str, Figure]]


def ladder(spec: Staged, work: Work, args: argparse.Namespace) -> list[Work]:
    """Return the work of each rung, settled.

    Raises:
        RequestError: for what a model in stages is not asked for.
    """
    if args.contexts is not None:
        raise RequestError("--contexts is for text models; this one's work is told by its sizes")
    require_work(spec, work)
    return [settled(replace(work, batch=batch), spec.usual) for batch in args.batches]


def use_once(model: StagedModel, works: Sequence[Work]) -> None:
    """Pass every stage of the first rung once.

    Raises:
        DoesNotFitError: for a rung that needs more memory than is free.
    """
    from fathom.tasks.stage_bench import use_stages_once

    for work in works:
        _require_room(model, work)
    use_stages_once(model, works[0])


def measured(
    model: StagedModel, loaded: Loaded, works: Sequence[Work], args: argparse.Namespace
) -> int:
    """Measure each rung, print it and record it."""
    from fathom.tasks.stage_bench import measure_stages, stage_figures

    found: list[Found] = []
    on_device = model.device_type == "cuda"
    with counted_bar(len(works) * (args.rounds + 1), f"measuring {args.name}") as advance:
        for work in works:
            row = measure_stages(model, work, args.rounds, advance)
            figures = stage_figures(row, loaded, model.fit(work), model.spec, on_device)
            if recording() and not args.no_record:
                _keep(model, work, figures)
            found.append((row, figures))
    _print(args, model, loaded, found)
    return 0


def _require_room(model: StagedModel, work: Work) -> None:
    predicted, machine = model.fit(work), this_machine()
    needed = predicted.terms["kept"] + predicted.terms["workspace"]
    if model.device_type == "cpu" and needed > machine.memory_available:
        raise DoesNotFitError(
            f"{work_text(work)}: that needs {byte_text(needed)} beside the weights and"
            f" {byte_text(machine.memory_available)} are free; ask for less"
        )


def _keep(model: StagedModel, work: Work, figures: Mapping[str, Figure]) -> None:
    how = settings(
        model.dtype,
        model.device_type,
        context=(work.tokens or 0) + (work.written or 0),
        batch=work.batch,
        prompt=work.tokens or 0,
        new=work.written or 0,
    )
    load = {LOAD: Figure(None, model.load_seconds)}
    keep(new_record("bench", model.subject, how, {**figures, **load}))


def _print(
    args: argparse.Namespace, model: StagedModel, loaded: Loaded, found: Sequence[Found]
) -> None:
    if args.json:
        print_json(_report(model, loaded, args.rounds, found))
        return
    print(
        f"{model.card.title or model.card.name}, {model.dtype} on {model.device_type}, loaded in"
        f" {seconds_text(model.load_seconds)} with a peak of {byte_text(loaded.peak)}"
    )
    for row, figures in found:
        print(f"\n{work_text(row.work)}: one pass of each stage, median of {args.rounds} rounds")
        print_columns(list(lines(figures)), right=frozenset({1, 2, 3}))
    for note in notes([row for row, _ in found]):
        print(f"\n{note}")


def _report(
    model: StagedModel, loaded: Loaded, rounds: int, found: Sequence[Found]
) -> Mapping[str, object]:
    rows: list[Json] = [
        {"work": plain(row.work), "peak_is_exact": row.exact, "figures": plain(figures)}
        for row, figures in found
    ]
    return {
        "model": model.subject,
        "dtype": model.dtype,
        "device": model.device_type,
        "load_seconds": model.load_seconds,
        "loading": loaded,
        "rounds": rounds,
        "rows": rows,
    }


def lines(figures: Mapping[str, Figure]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the table of one rung: label, predicted, measured, spread."""
    yield "", "predicted", "measured", "spread"
    stages = [name for name in figures if name.endswith(PASS_SECONDS)]
    labels = {name: name.removesuffix(PASS_SECONDS) for name in stages}
    for name, label in {**labels, **LABELS}.items():
        if name in figures:
            one = figures[name]
            spread = "" if one.spread is None else f"{one.spread:.0%}"
            yield label, _text(name, one.predicted), _text(name, one.measured), spread


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return byte_text(value) if name.startswith(MEMORY) else seconds_text(value)
