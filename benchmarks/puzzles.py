"""What recursion and averaged weights are worth: the same run with and without, side by side.

    python benchmarks/puzzles.py sudoku-6                      # minutes; keeps what it finds
    python benchmarks/puzzles.py sudoku-6 --without recursion
    python benchmarks/puzzles.py sudoku-6 --steps 1000         # before all is learned
    python benchmarks/puzzles.py --page                        # writes docs/puzzles.md from all

A row is one run of `fathom train`, in a process of its own, with everything but the part left out
the same: parameters, puzzles, steps, seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fathom.planning.machine import this_machine
from fathom.tuning.runs import RUNS

HERE = Path(__file__).parent
KEPT = HERE / "puzzles.json"
PAGE = HERE.parent / "docs" / "puzzles.md"
WITHOUT = {"nothing": "as published", "recursion": "no recursion", "average": "no averaged weights"}
SEED = 1


def main() -> None:
    """Run one row, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", nargs="?", choices=tuple(RUNS["trm"]))
    parser.add_argument("--without", choices=tuple(WITHOUT), default="nothing")
    parser.add_argument("--steps", type=int, help="of the optimiser; by default as the run says")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    if args.run is not None:
        steps = args.steps or RUNS["trm"][args.run].recipe.steps
        keep(args.run, args.without, steps, trained(args.run, args.without, steps))
    if args.page or args.run is not None:
        PAGE.write_text(page(json.loads(KEPT.read_text())))


def trained(run: str, without: str, steps: int) -> dict[str, object]:
    """Return what one run came to, as `fathom train --json` tells it."""
    command = [sys.executable, "-m", "fathom.cli.main", "train", "trm", run, "--json"]
    command += ["--seed", str(SEED), "--steps", str(steps)]
    command += [] if without == "nothing" else ["--without", without]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)["outcome"]
    return found


def keep(run: str, without: str, steps: int, outcome: dict[str, object]) -> None:
    """Keep a row beside the others; an earlier one of the same name goes."""
    rows = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    machine = this_machine()
    rows[f"{run} {without} {steps}"] = {
        **outcome,
        "run": run,
        "steps": steps,
        "without": without,
        "machine": f"{machine.cpu}, {machine.cores} cores",
        "measured": datetime.now(UTC).date().isoformat(),
    }
    KEPT.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


def page(rows: dict[str, dict[str, Any]]) -> str:
    """Return the page about all rows that were run."""
    machines = sorted({f"{row['machine']} ({row['measured']})" for row in rows.values()})
    lines = [
        "# Puzzles",
        "",
        "<!-- written by benchmarks/puzzles.py -->",
        "",
        "A tiny recursive model (Jolicoeur-Martineau, 2025, arXiv 2510.04871) trained on sudoku"
        " made as it goes, and tested on puzzles whose solutions it has never seen in any disguise."
        " The paper's claims: passing the same layers again and again solves what one pass does"
        " not, and an average of the weights over time solves more than the last ones. A row leaves"
        " out one of the two, all else being equal: parameters, puzzles, steps and seed.",
        "",
        f"Seed {SEED}; {'; '.join(machines)}. Seconds are of whoever else was on the machine too.",
        "",
        "| run | steps | | parameters | solved, of unseen | seconds |",
        "|---|---:|---|---:|---:|---:|",
    ]
    order = {name: at for at, name in enumerate((*RUNS["trm"], *WITHOUT))}
    for row in sorted(
        rows.values(), key=lambda row: (order[row["run"]], -row["steps"], order[row["without"]])
    ):
        cells = (
            f"`{row['run']}`",
            f"{row['steps']:,}",
            WITHOUT[row["without"]],
            f"{row['parameters']:,}",
            f"{row['solved']:.1%} of {row['tested']}",
            f"{row['seconds']:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
