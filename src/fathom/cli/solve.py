"""`fathom solve`: a puzzle and a recursive model, round by round to an answer that is checked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.opening import opening_options
from fathom.cli.output import plain, print_json, seconds_text
from fathom.cli.working import record_argument

if TYPE_CHECKING:
    from fathom.tasks.solve import Solution

UNSOLVED = 1  # the exit code of an answer that breaks a rule

EXAMPLES = """\
  fathom solve ./solver "1... ..3. .4.. ...2"
  fathom solve ./solver puzzle.txt --rounds 16 --show
  fathom solve ./solver puzzle.txt --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `solve`."""
    parser.add_argument("name", metavar="NAME", help="a recursive model: folder, file or hub id")
    parser.add_argument(
        "puzzle",
        metavar="PUZZLE",
        help="a sudoku's cells row by row with 0 or . for what is to be found, a file that holds"
        " them, or - for stdin",
    )
    parser.add_argument("--rounds", type=int, metavar="INT", help="refine so often at most")
    parser.add_argument("--show", action="store_true", help="print the answer after every round")
    record_argument(parser)
    parser.add_argument("--dtype", help="type to compute in, such as float32 or bfloat16")
    parser.add_argument(
        "--allow-pickle", action="store_true", help="load PyTorch pickles, in a process of its own"
    )


def run(args: argparse.Namespace) -> int:
    """Solve one puzzle and check the answer by the rules."""
    from fathom import library
    from fathom.cli.recording import record_task

    text = _puzzle(args.puzzle)
    model = library.open(
        args.name,
        **opening_options(args, quiet=args.json),
    )
    found: Solution = model.solve(text, rounds=args.rounds)
    if args.json:
        print_json({**_whole(found), "predicted": plain(model.fit())})
    else:
        _print(found, show=args.show)
    record_task(model, args)
    return 0 if found.right else UNSOLVED


def _puzzle(given: str) -> str:
    """Return the puzzle itself, from a file where one has that name."""
    if given == "-":
        return sys.stdin.read()
    path = Path(given)
    return path.read_text(encoding="utf-8") if len(given) < 200 and path.is_file() else given


def _whole(found: Solution) -> dict[str, object]:
    told = plain(found)
    assert isinstance(told, dict)
    return {**told, "text": found.text}


def _print(found: Solution, *, show: bool) -> None:
    from fathom.inputs.sudoku import write

    if show:
        for number, answer in enumerate(found.answers[:-1], start=1):
            print(f"round {number}\n{write(answer)}\n")
    print(found.text)
    verdict = "solved" if found.right else "not solved: the answer breaks a rule"
    halted = "" if found.halted is None else ", by which the model thought itself right"
    taken = f"{found.rounds} round{'s' if found.rounds > 1 else ''}{halted}"
    print(f"{verdict} in {seconds_text(found.seconds)}, {taken}", file=sys.stderr)
