"""`fathom train`: small models whose training is a matter of minutes on the machine at hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.output import on_terminal, plain, print_facts, print_json, seconds_text
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.tuning.recipe import Report
    from fathom.tuning.results import Outcome

EXAMPLES = """\
  fathom train trm sudoku-4 --out ./solver
  fathom train trm sudoku-6 --out ./solver6 --seed 1
  fathom train trm sudoku-6 --without recursion --json
  fathom train whisper tones --out ./listener
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    parser.add_argument(
        "kind", choices=("trm", "whisper"), metavar="KIND", help="what to train: trm or whisper"
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="on what: sudoku-4 or sudoku-6 (trm), or the tones of telephone keys: tones (whisper)",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the model is written")
    parser.add_argument("--steps", type=int, metavar="INT", help="of the optimiser")
    parser.add_argument("--batch", type=int, metavar="INT", help="puzzles or sounds at a time")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="INT", help="of weights and of what is learned from"
    )
    parser.add_argument(
        "--without",
        choices=("recursion", "average"),
        help="leave out what the paper says helps, to see it: passing the layers again and again,"
        " or the average of weights over time",
    )


def run(args: argparse.Namespace) -> int:
    """Train, test on puzzles that training never saw, and write the model."""
    if args.out is not None and args.out.exists():
        raise RequestError(f"{args.out} exists already; name a folder that does not")
    from fathom.tuning.runs import named, write

    chosen = named(args.kind, args.run)
    if args.without is not None and args.without not in chosen.lacking:
        raise RequestError(
            f"{args.kind} {args.run} is not trained with {args.without}; what may be left out of it"
            f" is {' or '.join(chosen.lacking)}"
        )
    usual = chosen.recipe
    recipe = replace(
        usual,
        seed=args.seed,
        steps=_positive("steps", args.steps, usual.steps),
        batch=_positive("batch", args.batch, usual.batch),
    )
    with _shown(recipe.steps, args.json) as watch:
        trained = chosen.perform(recipe, watch, args.without)
    if args.out is not None:
        write(trained, recipe, args.out)
    _tell(args, trained.outcome)
    return 0


def _positive(name: str, value: int | None, usual: int) -> int:
    if value is None:
        return usual
    if value < 1:
        raise RequestError(f"--{name} {value}: at least 1")
    return value


@contextmanager
def _shown(steps: int, quiet: bool) -> Iterator[Callable[[Report], None]]:
    """Show how training goes where a person can see it."""
    if quiet or not on_terminal(sys.stderr):
        yield lambda report: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("training", total=steps)

        def watch(report: Report) -> None:
            told = f"step {report.step:,}  loss {report.loss:.3f}  solved {report.solved:.0%}"
            shown.update(task, completed=report.step, description=told)

        yield watch


def _tell(args: argparse.Namespace, outcome: Outcome) -> None:
    if args.json:
        print_json({"outcome": plain(outcome), "path": args.out})
        return
    written = [] if args.out is None else [("written to", str(args.out))]
    print_facts(
        [
            ("parameters", f"{outcome.parameters:,}"),
            ("solved", f"{outcome.solved:.1%} of {outcome.tested} {outcome.of}"),
            ("trained in", seconds_text(outcome.seconds)),
            *written,
        ]
    )
