"""Models that see, hear, draw or solve: predicted beside measured, and beside other libraries.

    python benchmarks/staged.py memory              every row that is not kept yet
    python benchmarks/staged.py memory unet         one row: bytes and seconds, by `fathom bench`
    python benchmarks/staged.py seconds             stages of tiny and of larger models, predicted
    python benchmarks/staged.py seconds "vit tiny"
    python benchmarks/staged.py speed               every row beside its reference library
    python benchmarks/staged.py speed vit
    python benchmarks/staged.py steps               four evaluations beside a hundred
    python benchmarks/staged.py page                write the pages from what is kept

A row takes less than a minute and runs in a process of its own; what it found is kept in
staged.json, so that work can stop and go on. Speed depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock
from random_models import write_model
from staged_models import ROWS, Row
from staged_pages import write_pages
from staged_small import ROWS as SMALL

from fathom.checkpoint.published import published_spec
from fathom.planning.machine import this_machine
from fathom.planning.whole_layers import why_plain
from fathom.spec.work import Staged

HERE = Path(__file__).parent
KEPT = HERE / "staged.json"
ROUNDS = 2
PARTS = ("memory", "seconds", "speed", "steps", "page")


def kept() -> dict[str, Any]:
    """Return what was measured so far, by part and row."""
    empty: dict[str, Any] = {part: {} for part in PARTS[:-1]}
    return {**empty, **json.loads(KEPT.read_text())} if KEPT.exists() else empty


def keep(part: str, row: str, found: object) -> None:
    """Keep what a row found, beside what others did."""
    with FileLock(Path(tempfile.gettempdir()) / "fathom-staged.lock"):
        whole = kept()
        whole[part][row] = found
        whole["about"] = {name: version(name) for name in ("torch", "transformers", "diffusers")}
        whole["about"]["machine"] = f"{this_machine().cpu}, {this_machine().cores} cores"
        KEPT.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def memory(row: Row) -> dict[str, Any]:
    """Write a random model, and return what the verb that measures says of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(row.config, Path(folder) / "model", row.encoding)
        words = ["bench", str(path), "--json", "--no-record", "--rounds", str(ROUNDS)]
        words += ["--dtype", row.dtype, *row.options]
        done = _run("-m", "fathom.cli.main", *words)
    found = json.loads(done)
    spec = published_spec(row.config)
    whole = isinstance(spec, Staged) and not why_plain(spec, device="cpu", dtype=row.dtype)
    return {"dtype": row.dtype, "options": row.options, "whole": whole, **found["rows"][0]}


def _run(*words: str) -> str:
    """Return what a process of its own prints."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return done.stdout


def beside(part: str, name: str) -> dict[str, Any]:
    """Return what a row of another part finds, in a process of its own."""
    file = "staged_seconds.py" if part == "seconds" else "staged_beside.py"
    found: dict[str, Any] = json.loads(_run(str(HERE / file), part, name))
    return found


def main() -> None:
    """Measure what is asked for, or write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("row", nargs="?", help="by default every row that is not kept yet")
    args = parser.parse_args()
    from staged_beside import ROWS as BESIDE

    listed = {"memory": list(ROWS), "seconds": [*SMALL, *ROWS], **BESIDE}
    if args.part != "page":
        names = listed[args.part]
        for name in [args.row] if args.row else [n for n in names if n not in kept()[args.part]]:
            found = memory(ROWS[name]) if args.part == "memory" else beside(args.part, name)
            keep(args.part, name, found)
            print(f"{args.part} {name}: kept", flush=True)
    found = kept()
    left = {part: [one for one in rows if one not in found[part]] for part, rows in listed.items()}
    write_pages({**found, "left": left}, HERE.parent / "docs")


if __name__ == "__main__":
    main()
