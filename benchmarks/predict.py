"""Predicted beside measured, for every dialect: writes docs/accuracy.md.

    python benchmarks/predict.py            all rows, about ten minutes on two idle cores
    python benchmarks/predict.py --quick    a few rows, printed and not written
    python benchmarks/predict.py --only mamba
    python benchmarks/predict.py --again    predict anew what was measured last, and write the page

Every row runs in a process of its own. Memory is the process's growth over its idle base, at its
peak; it does not depend on what else the machine does. Speed does: run it on an idle machine.
What was measured is kept in accuracy.json, where a test holds the formula of memory to it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from accuracy import BUSY, KEPT, Kept, Measured, Setting, line, page, predicted, summary
from random_models import configurations, write_model

from fathom.checkpoint.description import describe
from fathom.planning.machine import this_machine
from fathom.planning.probe import measured_rates

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "accuracy.md"

# Each dialect takes the next of these in turn, so that all of them meet every kind of layer.
_TURNS = (
    ("BF16", "bfloat16", 512, 1),
    ("F32", "float32", 512, 4),
    ("BF16", "bfloat16", 2048, 1),
    ("F32", "float32", 1024, 1),
    ("BF16", "bfloat16", 512, 8),
)
_MORE = (
    Setting("llama", "F32", "float32", 8192, 1),
    Setting("llama", "BF16", "bfloat16", 4096, 2),
    Setting("llama", "Q8_0", "bfloat16", 1024, 1),
    Setting("llama", "Q4_0", "float32", 1024, 1),
    Setting("qwen2", "Q8_0", "float32", 512, 2),
    Setting("gpt2", "Q8_0", "bfloat16", 2048, 1),
)
TRIES = 3
LIMIT = 300  # seconds that a row may take
_QUICK = ("llama", "gemma2", "mamba", "mixtral", "bert")


def settings(only: str, quick: bool) -> Iterator[Setting]:
    """Yield the rows that are asked for."""
    for index, name in enumerate(configurations()):
        setting = Setting(name, *_TURNS[index % len(_TURNS)])
        if only in name and (not quick or name in _QUICK):
            yield setting
    if not quick:
        yield from (one for one in _MORE if only in one.model)


def run(setting: Setting) -> Measured:
    """Write the model while its process starts, run it there, and return what was seen."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "one_process.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tempfile.TemporaryDirectory() as folder, process:
        config = configurations()[setting.model]
        path = write_model(config, Path(folder) / "model", setting.encoding)
        description = describe(path)
        context = min(setting.context, description.text.context)
        asked = {"dtype": setting.dtype, "context": context, "batch": setting.batch}
        answer, _ = process.communicate(json.dumps({"path": str(path), **asked}), timeout=LIMIT)
        taken = json.loads(answer)
        if "error" in taken:
            raise SystemExit(f"{setting}: {taken['error']}")
        assert description.contents is not None
        return Measured(setting, context, description.contents.size, taken)


def undisturbed(setting: Setting) -> Measured:
    """Measure a row, and again while other work kept it from a core; the least disturbed counts."""
    tried: list[Measured] = []
    while len(tried) < TRIES and (not tried or (tried[-1].number("waited") or 0.0) > BUSY):
        tried.append(run(setting))
    return min(tried, key=lambda one: one.number("waited") or 0.0)


def measure(only: str, quick: bool) -> Kept:
    """Measure the rows that are asked for, and print each as it comes."""
    began, rates, rows = perf_counter(), measured_rates(), []
    if rates is None:
        raise SystemExit("this machine could not be measured")
    for setting in settings(only, quick):
        rows.append(undisturbed(setting))
        print(line(predicted(rows[-1], rates)), flush=True)
    machine = this_machine()
    what = f"{machine.cpu}, {machine.cores} cores, torch {version('torch')}"
    return Kept(rates, tuple(rows), perf_counter() - began, what)


def main() -> None:
    """Run the rows, keep what was measured, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few rows, printed alone")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--again", action="store_true", help="predict what was measured last")
    args = parser.parse_args()
    kept = Kept.read() if args.again else measure(args.only, args.quick)
    print("\n".join(summary([predicted(row, kept.rates) for row in kept.rows])))
    if args.quick or args.only:
        return
    KEPT.write_text(json.dumps(asdict(kept), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
