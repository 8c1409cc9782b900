"""`fathom bench`: a model measured at a ladder of contexts and batches, beside predictions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Protocol, cast

from fathom.cli.opening import opening_arguments
from fathom.cli.output import (
    Json,
    byte_text,
    on_terminal,
    print_columns,
    print_json,
    rate_text,
    seconds_text,
)
from fathom.cli.progress import shown_progress
from fathom.cli.working import work_arguments, work_of
from fathom.errors import DoesNotFitError, RequestError
from fathom.planning.contention import BUSY
from fathom.planning.records import (
    ALLOCATOR,
    DECODE,
    FIRST,
    GROWTH,
    LOAD,
    MEMORY,
    PREFILL,
    TEXTS,
    TOTAL,
    Figure,
    new_record,
    settings,
)
from fathom.planning.store import keep, recording

if TYPE_CHECKING:
    from fathom.generation.bench import Loaded, Row
    from fathom.library import Model, TextModel
    from fathom.planning.predict import Prediction
    from fathom.spec.work import Staged, Work

EXAMPLES = """\
  fathom bench smollm2:135m
  fathom bench smollm2:135m --contexts 512,2048 --batches 1,4 --dtype float32
  fathom bench minilm:l6 --contexts 128 --batches 1,32 --json
  fathom bench google/vit-base-patch16-224 --batches 1,8
  fathom bench ./llava --frames 2 --written 32
"""
USUAL = (512, 2048)  # contexts, as far as the model has them

# Figure → how it is called, in the order of the table.
LABELS: Mapping[str, str] = {
    FIRST: "first token",
    PREFILL: "reading",
    DECODE: "writing",
    TEXTS: "texts",
    MEMORY + "weights": "  weights",
    MEMORY + "rest": "  tokenizer, libraries",
    MEMORY + "state": "  state",
    MEMORY + "workspace": "  workspace",
    MEMORY + "working": "  kept and at work",
    GROWTH: "memory over idle",
    MEMORY + "runtime": "  idle process",
    TOTAL: "process peak",
    ALLOCATOR: "allocator peak",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, folder, file or hub id")
    parser.add_argument(
        "--contexts", type=numbers, metavar="N,N", help="positions per sequence; 512,2048"
    )
    parser.add_argument(
        "--batches", type=numbers, default=(1,), metavar="N,N", help="sequences at once; 1"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="INT", help="repetitions; 5")
    parser.add_argument("--no-record", action="store_true", help="keep no record of this")
    work_arguments(parser)
    opening_arguments(parser, packing=True)


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as '512,2048'."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers like 512,2048") from error


def run(args: argparse.Namespace) -> int:
    """Open the model, measure each rung of the ladder, print and record it."""
    if min(args.rounds, *args.batches) < 1:
        raise RequestError("rounds and batches begin at 1")
    from fathom import library
    from fathom.checkpoint.description import describe
    from fathom.planning.asking import refuse_work
    from fathom.spec.work import Staged

    # First, so that a wrong name is told at once and fetching is no part of loading.
    progress = shown_progress(args.json)
    found = library.locate(args.name, allow_pickle=args.allow_pickle, progress=progress)
    spec, work = describe(found.path, allow_pickle=args.allow_pickle).spec, work_of(args)
    open_model = partial(
        library.open,
        args.name,
        dtype=args.dtype,
        quant=args.quant,
        device=args.device,
        allow_pickle=args.allow_pickle,
        progress=progress,
    )
    if isinstance(spec, Staged):
        return _staged(open_model, spec, work, args)
    refuse_work(spec, work)
    return _text_model(open_model, args)


def _staged(
    open_model: Callable[[], Model], spec: Staged, work: Work, args: argparse.Namespace
) -> int:
    """Measure a model that works in stages."""
    from fathom.cli import bench_stages
    from fathom.generation.bench import opened
    from fathom.library.staged import StagedModel

    works = bench_stages.ladder(spec, work, args)
    model, loaded = opened(
        lambda: cast(StagedModel, open_model()), lambda one: bench_stages.use_once(one, works)
    )
    return bench_stages.measured(model, loaded, works, args)


def _text_model(open_model: Callable[[], Model], args: argparse.Namespace) -> int:
    """Measure a model of text."""
    from fathom import library
    from fathom.generation.bench import check, figures, measure, opened, use_once

    model, loaded = opened(lambda: library.text_of(open_model()), use_once)
    ladder = list(product(contexts(args.contexts, model.spec.context), args.batches))
    for context, batch in ladder:
        check(model.spec, context, batch, args.rounds)
        _require_room(model, context, batch)
    found: list[tuple[Row, dict[str, Figure]]] = []
    with counted(len(ladder) * (args.rounds + 1), f"measuring {args.name}") as advance:
        for context, batch in ladder:
            row = measure(model, context, batch, args.rounds, advance)
            predicted = _predicted(model, context, batch)
            on_device = model.device.type == "cuda"
            if recording() and not args.no_record:
                _keep(model, row, figures(row, loaded, predicted.raw, on_device))
            found.append((row, figures(row, loaded, predicted, on_device)))
    _print(args, model, loaded, found)
    return 0


def contexts(asked: Sequence[int] | None, longest: int) -> tuple[int, ...]:
    """Return the contexts to measure: those asked for, or the usual ones that the model has."""
    if asked is not None:
        return tuple(asked)
    return tuple(one for one in USUAL if one <= longest) or (longest,)


def _predicted(model: TextModel, context: int, batch: int) -> Prediction:
    """Return what is predicted of the way that is measured."""
    from fathom.generation.loads import writing_program

    modules = writing_program(model.spec, model.program) is None
    return model.fit(context=context, batch=batch, modules=modules)


def _require_room(model: TextModel, context: int, batch: int) -> None:
    from fathom.planning.machine import this_machine

    predicted, machine = _predicted(model, context, batch), this_machine()
    terms = predicted.terms
    needed = sum(terms.values()) - terms["weights"] - terms["runtime"]
    if model.device.type == "cpu" and needed > machine.memory_available:
        raise DoesNotFitError(
            f"a context of {context:,} and a batch of {batch:,} need {byte_text(needed)} beside the"
            f" weights and {byte_text(machine.memory_available)} are free; name smaller ones"
        )


def _keep(model: TextModel, row: Row, measured: Mapping[str, Figure]) -> None:
    how = settings(
        model.dtype, model.device.type, row.context, row.batch, prompt=row.prompt, new=row.written
    )
    load = {LOAD: Figure(None, model.load_seconds)}
    keep(new_record("bench", model.subject, how, {**measured, **load}))


@contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar of steps on a terminal; yield what moves it."""
    if not on_terminal(sys.stderr):
        yield lambda done: None
        return
    from rich import progress
    from rich.console import Console
    from rich.markup import escape

    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as shown:
        task = shown.add_task(escape(what), total=total)
        yield lambda done: shown.advance(task, done)


def _print(
    args: argparse.Namespace,
    model: TextModel,
    loaded: Loaded,
    found: Sequence[tuple[Row, Mapping[str, Figure]]],
) -> None:
    if args.json:
        print_json(_report(model, loaded, args.rounds, found))
        return
    print(
        f"{model.card.title or model.card.name}, {model.dtype} on {model.device.type}, loaded in"
        f" {seconds_text(model.load_seconds)} with a peak of {byte_text(loaded.peak)}"
    )
    for row, measured in found:
        print(f"\ncontext {row.context:,}, batch {row.batch:,}: median of {args.rounds} rounds")
        print_columns(lines(measured), right=frozenset({1, 2, 3}))
    for note in notes([row for row, _ in found]):
        print(f"\n{note}")


def _report(
    model: TextModel, loaded: Loaded, rounds: int, found: Sequence[tuple[Row, Mapping[str, Figure]]]
) -> Mapping[str, object]:
    rows: list[Json] = [
        {
            "context": row.context,
            "batch": row.batch,
            "prompt_tokens": row.prompt,
            "new_tokens": row.written,
            "peak_is_exact": row.exact,
            "figures": {
                name: {"predicted": one.predicted, "measured": one.measured, "spread": one.spread}
                for name, one in measured.items()
            },
        }
        for row, measured in found
    ]
    return {
        "model": model.subject,
        "dtype": model.dtype,
        "device": model.device.type,
        "load_seconds": model.load_seconds,
        "loading": loaded,
        "rounds": rounds,
        "rows": rows,
    }


def lines(measured: Mapping[str, Figure]) -> list[tuple[str, str, str, str]]:
    """Return the table of one row: label, predicted, measured, spread."""
    table = [("", "predicted", "measured", "spread")]
    for name, label in LABELS.items():
        if name in measured:
            one = measured[name]
            spread = "" if one.spread is None else f"{one.spread:.0%}"
            table.append((label, _text(name, one.predicted), _text(name, one.measured), spread))
    return table


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.startswith(MEMORY):
        return byte_text(value)
    if name == FIRST:
        return seconds_text(value)
    return rate_text(value, "texts" if name == TEXTS else "tokens")


class Watched(Protocol):
    """How far a measurement can be trusted."""

    @property
    def exact(self) -> bool: ...

    @property
    def waited(self) -> float | None: ...


def notes(rows: Sequence[Watched]) -> Iterator[str]:
    """Yield what a reader should know before trusting the figures."""
    if not all(row.exact for row in rows):
        yield "memory was looked at every 2 ms, as this system keeps no peak: it may be more"
    waited = max((row.waited or 0 for row in rows), default=0)
    if waited > BUSY:
        yield (
            f"other work kept this process from a core for up to {waited:.0%} of the time: measure"
            " again when the machine is idle; such a record calibrates nothing"
        )
