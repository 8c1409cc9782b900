"""Processes that hold a model and answer questions, and ratios of two that take turns.

Questions go over a pipe, a line of JSON each, and seconds come back. A ratio is of two neighbours,
so that what else the machine does falls on both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = 64  # tokens


class Runner:
    """A process that holds a model and answers questions about it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.name = str(self._answer()["ready"])

    def ask(self, what: str, tokens: Sequence[int] = (), more: int | str = 0) -> float:
        """Return the seconds that it took, or the figure that was asked for."""
        question = json.dumps({"what": what, "tokens": list(tokens), "more": more})
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, object]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def running(command: Sequence[str]) -> Iterator[Runner]:
    runner = Runner(command)
    try:
        yield runner
    finally:
        runner.close()


def script(name: str, *arguments: str, python: str = sys.executable) -> list[str]:
    """Return the command of one of the programs beside this one."""
    return [python, str(ROOT / "benchmarks" / name), *arguments]


def ours(file: Path) -> list[str]:
    return script("cpu_fathom.py", str(file))


def llama(file: Path, python: str, threads: int, flash: int) -> list[str]:
    return script("cpu_llama.py", "serve", str(file), str(threads), str(flash), python=python)


def best_setting(file: Path, python: str, tokens: Sequence[int]) -> tuple[int, int]:
    """Return the threads and the attention with which llama.cpp writes fastest."""
    cores = len(os.sched_getaffinity(0))
    taken: dict[tuple[int, int], float] = {}
    for setting in product(sorted({1, cores}), (0, 1)):
        with running(llama(file, python, *setting)) as peer:
            taken[setting] = min(peer.ask("decode", tokens, WRITTEN) for _ in range(2))
    return min(taken, key=taken.__getitem__)


def taking_turns(
    mine: Runner, peer: Runner, what: str, tokens: Sequence[int], count: int, rounds: int
) -> dict[str, object]:
    """Measure both, round by round, and return rates and their ratio.

    The first round only warms up, unless there is but one.
    """
    rates: list[tuple[float, float]] = []
    for _ in range(rounds + (rounds > 1)):
        first = count / mine.ask(what, tokens, WRITTEN)
        rates.append((first, count / peer.ask(what, tokens, WRITTEN)))
    rates = rates[-rounds:]
    ratios = sorted(own / other for own, other in rates)
    return {
        "ours": median(own for own, _ in rates),
        "peer": median(other for _, other in rates),
        "least": ratios[0],
        "value": median(ratios),
        "most": ratios[-1],
        "rounds": rounds,
    }
