"""Sends attempts to the zygote, and holds a verdict against what a case promises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from hostile.benign import write_model
from hostile.case import Case, Verdict

TESTS = Path(__file__).resolve().parents[1]
SMALL = 1 << 20  # bytes of a small file
LONGEST = 1000  # characters of a complaint


class Runner:
    """A zygote in a folder of its own; used as a context manager.

    `optimised` runs it as ``python -O`` does, which leaves out every ``assert``.
    """

    def __init__(self, folder: Path, *, optimised: bool = False) -> None:
        self.scratch = folder / "scratch"
        self.benign = write_model(folder / "benign")
        for name in ("scratch", "cache", "tmp"):
            (folder / name).mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "src")]),
            "FATHOM_CACHE": str(folder / "cache"),
            "TMPDIR": str(folder / "tmp"),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "RUST_BACKTRACE": "0",
        }
        self._log = (folder / "complaints").open("w+")
        self._process = subprocess.Popen(
            [
                *(sys.executable, *(["-O"] if optimised else []), "-m", "hostile.zygote"),
                *(str(self.benign), str(self.scratch)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        assert self._answer() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._log.close()

    def attempt(
        self,
        case: Case,
        door: str,
        path: Path,
        *,
        benign: bool = False,
        without: Mapping[str, object] | None = None,
    ) -> Verdict:
        """Try `path` at a door, without checks: ``module:name`` and what to answer instead."""
        request = {
            "door": door,
            "path": str(path),
            "options": dict(case.options),
            "seconds": case.seconds,
            "benign": benign,
            "mutations": dict(without or {}),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._answer())
        return Verdict(**{**found, "events": tuple(found["events"])})

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"the zygote died: {self._log.read()[-3000:]}")
        return line.strip()

    def complaints(self, case: Case, door: str, folder: Path) -> list[str]:
        """Build the case, try it, and list what is not as promised; empty if all holds."""
        path = case.build(folder)
        before = listing(folder), listing(self.scratch)
        verdict = self.attempt(case, door, path, benign=door == "open")
        after = listing(folder), listing(self.scratch)
        shutil.rmtree(self.scratch / "converted", ignore_errors=True)
        found = list(faults(verdict, case, _size(folder)))
        if before[0] != after[0] or (case.code and before[1] != after[1]):
            found.append("files were changed")
        return found


def faults(verdict: Verdict, case: Case, size: int) -> list[str]:
    """Hold a verdict against the oracle."""
    found = []
    wanted = "refused" if case.code else "accepted"
    if (verdict.ending, verdict.code) != (wanted, case.code):
        found.append(
            f"{wanted} {case.code} expected: {verdict.ending} {verdict.code} {verdict.message}"
        )
    if "\n" in verdict.message or len(verdict.message) > LONGEST:
        found.append(f"not one short line: {verdict.message[:LONGEST]!r}")
    if verdict.seconds > case.seconds:
        found.append(f"took {verdict.seconds:.1f} s")
    if size < SMALL and verdict.memory > case.memory:
        found.append(f"took {verdict.memory >> 20} MiB")
    found += verdict.events
    if verdict.benign is False:
        found.append("a sound model gives other tokens afterwards")
    return found


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and time of change."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
