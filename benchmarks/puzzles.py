"""What recursion and averaged weights are worth: the same run with and without, side by side.

    python benchmarks/puzzles.py sudoku-6                      # minutes; keeps what it finds
    python benchmarks/puzzles.py sudoku-6 --without recursion
    python benchmarks/puzzles.py sudoku-6 --steps 1000         # before all is learned
    python benchmarks/puzzles.py sudoku-6 --curve --seed 2     # along a run at a steady rate
    python benchmarks/puzzles.py --page                        # writes docs/puzzles.md from all

Averaged weights only answer; training does not see them. So one training gives both numbers, what
its last weights solve and what their average does, and no row is trained for the average alone.
Everything but the part left out is the same: parameters, puzzles, steps, seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TypeAlias, TypedDict

from fathom.planning.machine import this_machine
from fathom.spec.parts import count
from fathom.tuning.puzzle_runs import PuzzleRun
from fathom.tuning.recipe import Recipe
from fathom.tuning.runs import RUNS

HERE = Path(__file__).parent
KEPT = HERE / "puzzles.json"
PAGE = HERE.parent / "docs" / "puzzles.md"
WITHOUT = {"nothing": "with recursion", "recursion": "no recursion"}
SEED = 1
# As published: 1,000 puzzles in many disguises, a rate that stays after its rise, and a decay of 1.
# Rate and average forget ten times as fast as the published 1e-4 and 0.999, so that minutes suffice
# where those take 50,000 steps; the batch is 32, not 768.
STEADY = Recipe(steps=2000, batch=32, rate=1e-3, decay=1.0, floor=1.0, average=0.99)
EVERY = 250
TESTED = 300  # of a curve's points, each of which is tested twice


class Tested(TypedDict):
    """What is solved after a step; `last` is None where only the average was asked."""

    step: int
    last: float | None
    averaged: float
    seconds: float


class Row(TypedDict):
    """One run: how, and what it solves along it, of puzzles that training never sees."""

    run: str
    without: str
    recipe: dict[str, float]  # by its fields
    parameters: int
    tested: int
    points: list[Tested]
    machine: str
    measured: str


Rows: TypeAlias = Mapping[str, Row]


def main() -> None:
    """Run one row or one curve, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", nargs="?", choices=tuple(RUNS["trm"]))
    parser.add_argument("--without", choices=tuple(WITHOUT), default="nothing")
    parser.add_argument("--steps", type=int, help="of the optimiser; by default as the run says")
    parser.add_argument("--curve", action="store_true", help=f"test every {EVERY} steps")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    if args.run is not None:
        run = RUNS["trm"][args.run]
        assert isinstance(run, PuzzleRun)
        recipe = replace(STEADY if args.curve else run.recipe, seed=args.seed)
        recipe = replace(recipe, steps=args.steps or recipe.steps)
        if args.curve:
            run = replace(run, tested=TESTED)
        measure(args.run, run, recipe, EVERY if args.curve else recipe.steps, args.without)
    if args.page or args.run is not None:
        PAGE.write_text(page(json.loads(KEPT.read_text())))


def measure(name: str, run: PuzzleRun, recipe: Recipe, every: int, without: str) -> None:
    """Train once, and keep each point when it stands."""
    recursion = without != "recursion"
    points: list[Tested] = []
    for point in run.curve(recipe, every, recursion=recursion):
        points.append(asdict(point))
        print(point, flush=True)
        machine = this_machine()
        row: Row = {
            "run": name,
            "without": without,
            "recipe": asdict(recipe),
            "parameters": count(run.described(recursion=recursion)),
            "tested": run.tested,
            "points": points,
            "machine": f"{machine.cpu}, {machine.cores} cores",
            "measured": datetime.now(UTC).date().isoformat(),
        }
        pace = "steady" if recipe.floor else "falling"
        keep(f"{name} {without} {pace} {recipe.steps} seed {recipe.seed}", row)


def keep(key: str, row: Row) -> None:
    """Keep a row beside the others; an earlier one of the same name goes."""
    rows = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    rows[key] = row
    KEPT.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


def page(rows: Rows) -> str:
    """Return the page about all rows that were run."""
    order = {name: at for at, name in enumerate((*RUNS["trm"], *WITHOUT))}
    ordered = sorted(
        rows.values(),
        key=lambda row: (
            order[row["run"]],
            order[row["without"]],
            -row["recipe"]["steps"],
            row["recipe"]["seed"],
        ),
    )
    falling = [row for row in ordered if not row["recipe"]["floor"]]
    steady = [row for row in ordered if row["recipe"]["floor"]]
    machines = sorted({f"{row['machine']} ({row['measured']})" for row in rows.values()})
    lines = [
        "# Puzzles",
        "",
        "<!-- written by benchmarks/puzzles.py -->",
        "",
        "A tiny recursive model (Jolicoeur-Martineau, 2025, arXiv 2510.04871) trained on sudoku"
        " made as it goes, and tested on puzzles whose solutions it has never seen in any disguise."
        " The paper's claims: passing the same layers again and again solves what one pass does"
        " not, and an average of the weights over time solves more than the last ones. The average"
        " only answers, training does not see it: so one run measures both.",
        "",
        f"{'; '.join(machines)}. Seconds are of training, and of whoever else was on the machine.",
        "",
        "## Recursion",
        "",
        *recursion(falling),
        "",
        "## Averaged weights",
        "",
        *averaged(steady),
        "",
    ]
    return "\n".join(lines)


def recursion(rows: Iterable[Row]) -> Iterator[str]:
    """Yield what is solved after whole runs, with recursion and without."""
    yield (
        "The recipe of `fathom train trm`, whose rate falls to nothing: at its end the last weights"
        " have come to rest, and their average is hardly another. All else is equal: parameters,"
        " puzzles, steps and seed."
    )
    yield ""
    yield "| run | seed | steps | | parameters | solved by the average | by the last | seconds |"
    yield "|---|---:|---:|---|---:|---:|---:|---:|"
    for row in rows:
        end = row["points"][-1]
        cells = (
            f"`{row['run']}`",
            row["recipe"]["seed"],
            f"{end['step']:,}",
            WITHOUT[row["without"]],
            f"{row['parameters']:,}",
            f"{share(end['averaged'])} of {row['tested']}",
            share(end["last"]),
            f"{end['seconds']:.0f}",
        )
        yield f"| {' | '.join(map(str, cells))} |"


def averaged(rows: Iterable[Row]) -> Iterator[str]:
    """Yield what is solved along runs at a steady rate, by the last weights and by the average."""
    yield (
        f"As published, {PuzzleRun.puzzles:,} puzzles in many disguises are learned from, the rate"
        f" stays where it is after its rise and the decay is {STEADY.decay:g}; rate and average"
        f" forget ten times as fast ({STEADY.rate:g} for 0.0001, {STEADY.average:g} for 0.999), so"
        " that two cores see in minutes what takes 50,000 steps there, and a batch is"
        f" {STEADY.batch} puzzles for 768. The setting was chosen on another seed than those shown;"
        " every point that was measured is shown, and a dash is where the machine's time was over."
    )
    for name, same in groupby(rows, key=lambda row: (row["run"], row["without"], row["tested"])):
        yield ""
        yield from curves(*name, list(same))


def curves(run: str, without: str, tested: int, rows: Sequence[Row]) -> Iterator[str]:
    """Yield what became of runs that differ by their seeds alone, step by step."""
    yield f"`{run}`, {WITHOUT[without]}, solved of {tested} unseen: {verdict(rows)}"
    yield ""
    seeds = [f"seed {row['recipe']['seed']}: last | average" for row in rows]
    yield f"| step | {' | '.join(seeds)} |"
    yield f"|---:|{'---:|' * 2 * len(rows)}"
    tables = [{point["step"]: point for point in row["points"]} for row in rows]
    for step in sorted(set().union(*tables)):
        cells = [f"{step:,}"]
        for table in tables:
            point = table.get(step)
            cells += [share(point and point["last"]), share(point and point["averaged"])]
        yield f"| {' | '.join(cells)} |"


def verdict(rows: Iterable[Row]) -> str:
    """Return in how many measurements the average was above the last weights, and how far."""
    both = [
        (point["averaged"], point["last"])
        for row in rows
        for point in row["points"]
        if point["last"] is not None
    ]
    ahead = [mean - last for mean, last in both]
    above, below = (sum(sign * one > 0 for one in ahead) for sign in (1, -1))
    return (
        f"the average solved more than the last weights in {above} of {len(both)} measurements, as"
        f" many in {len(both) - above - below}, fewer in {below};"
        f" {100 * sum(ahead) / len(ahead):+.1f} points in the mean."
    )


def share(solved: float | None) -> str:
    """Return a share in words, or a dash where it was not measured."""
    return "–" if solved is None else f"{solved:.1%}"


if __name__ == "__main__":
    main()
