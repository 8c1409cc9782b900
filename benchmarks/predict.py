"""Predicted beside measured, for every dialect: writes docs/accuracy.md.

    python benchmarks/predict.py            all rows, about ten minutes on two idle cores
    python benchmarks/predict.py --quick    a few rows, printed and not written
    python benchmarks/predict.py --only mamba

Every row runs in a process of its own. Memory is the process's growth over its idle base, at its
peak; it does not depend on what else the machine does. Speed does: run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

from random_models import configurations, write_model
from rules import RULES, Case

from fathom.checkpoint.description import describe
from fathom.planning.machine import this_machine
from fathom.planning.predict import CODE_BYTES, predict
from fathom.planning.probe import Rates, measured_rates
from fathom.planning.speed import step_seconds, token_seconds
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import TextModel

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "accuracy.md"
LIMIT = 300  # seconds that a row may take
TARGETS = {"memory": (0.03, 0.07), "speed": (0.15, 0.30)}  # median, worst
BUSY = 0.1  # share of waiting for a core from which a row's speed says little


@dataclass(frozen=True)
class Setting:
    """How one row runs. `encoding` is that of the file, `dtype` what is computed in."""

    model: str
    encoding: str
    dtype: str
    context: int
    batch: int


@dataclass(frozen=True)
class Row:
    """One row, predicted and measured. Memory in bytes of growth, rates in tokens per second."""

    setting: Setting
    terms: Mapping[str, int]
    memory: tuple[int, int]
    reading: tuple[float, float]
    writing: tuple[float, float] | None
    rules: Mapping[str, float]
    waited: float | None

    @property
    def memory_error(self) -> float:
        return self.memory[0] / self.memory[1] - 1

    @property
    def speed_errors(self) -> tuple[float, ...]:
        pairs = [self.reading] + ([self.writing] if self.writing else [])
        return tuple(predicted / measured - 1 for predicted, measured in pairs)


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
_QUICK = ("llama", "gemma2", "mamba", "mixtral", "bert")


def settings(only: str, quick: bool) -> Iterator[Setting]:
    """Yield the rows that are asked for."""
    for index, name in enumerate(configurations()):
        setting = Setting(name, *_TURNS[index % len(_TURNS)])
        if only in name and (not quick or name in _QUICK):
            yield setting
    if not quick:
        yield from (one for one in _MORE if only in one.model)


def run(setting: Setting, rates: Rates, folder: Path) -> Row:
    """Write the model, run it in a process of its own, and predict the same."""
    config = configurations()[setting.model]
    path = write_model(config, folder / "model", setting.encoding)
    description = describe(path)
    spec = description.spec
    context = min(setting.context, spec.context)
    asked = {"path": str(path), "dtype": setting.dtype, "context": context, "batch": setting.batch}
    done = subprocess.run(
        [sys.executable, str(HERE / "one_process.py"), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    if done.returncode:
        raise SystemExit(f"{setting}: {done.stderr.strip().splitlines()[-1]}")
    taken = json.loads(done.stdout)
    found = predict(spec, dtype=setting.dtype, context=context, batch=setting.batch)
    terms = {**found.terms, "runtime": rates.code_bytes or CODE_BYTES}
    reading, writing = _rates(spec, setting, context, rates)
    assert description.contents is not None
    case = Case(spec, description.contents.size, setting.encoding, context, setting.batch)
    decoded = taken["decode_tokens_per_second"]
    return Row(
        setting=setting,
        terms=terms,
        memory=(sum(terms.values()), taken["peak"]),
        reading=(reading, taken["prefill_tokens_per_second"]),
        writing=None if writing is None or decoded is None else (writing, decoded),
        rules={name: rule(case) for name, rule in RULES.items()},
        waited=taken["waited"],
    )


def _rates(
    spec: TextModel, setting: Setting, context: int, rates: Rates
) -> tuple[float, float | None]:
    """Predict for what a row does: its prompt fills the whole context, it writes at the end."""
    whole = isinstance(spec, Encoder | EncoderDecoder)
    seen = context if whole else 2 * context
    reading = 1 / sum(token_seconds(spec, setting.dtype, seen, rates).values())
    if isinstance(spec, Encoder):
        return reading, None
    step = step_seconds(spec, setting.dtype, context, setting.batch, rates)
    return reading, setting.batch / sum(step.values())


def page(rows: Sequence[Row], rates: Rates, seconds: float) -> str:
    """Return the document."""
    machine = this_machine()
    worst = sorted(rows, key=lambda row: -abs(row.memory_error))
    lines = [
        "# How true predictions are",
        "",
        "Written by `python benchmarks/predict.py`: do not edit. Every dialect is a random model of"
        " at least 50 M parameters, run in a process of its own. Memory is the growth of the"
        " process over its idle base, at its peak. The worst row stands first.",
        "",
        f"{machine.cpu}, {machine.cores} cores, torch {version('torch')}, rates measured"
        f" {rates.measured_at[:10]}; {len(rows)} rows in {seconds / 60:.0f} minutes.",
        "",
        *_summary(rows),
        "",
        "## Memory, in MB",
        "",
        "| model | file | computed | context | batch | predicted | measured | error | weights |"
        " state | workspace | code | " + " | ".join(RULES) + " |",
        "|---" * (12 + len(RULES)) + "|",
        *(_memory_line(row) for row in worst),
        "",
        "The last columns are what the published rules of other estimators say of the row, and how"
        " far off that is.",
        "",
        "## Speed, in tokens per second of all sequences",
        "",
        "*Waited* is the share of time that other work kept the process from a core; from"
        f" {BUSY:.0%} on a row says more about the neighbours than about the model.",
        "",
        "| model | file | context | batch | reading: predicted | measured | error |"
        " writing: predicted | measured | error | waited |",
        "|---" * 11 + "|",
        *(
            _speed_line(row)
            for row in sorted(rows, key=lambda row: -max(map(abs, row.speed_errors)))
        ),
        "",
    ]
    return "\n".join(lines)


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | median error | worst error | target |"
    yield "|---|---|---|---|"
    errors = {
        "memory": [abs(row.memory_error) for row in rows],
        "speed": [abs(error) for row in rows for error in row.speed_errors],
    }
    for name, found in errors.items():
        middle, worst = TARGETS[name]
        target = f"{middle:.0%} and {worst:.0%}"
        yield f"| {name} | {median(found):.1%} | {max(found):.1%} | {target} |"
    for name in RULES:
        found = [abs(row.rules[name] / row.memory[1] - 1) for row in rows]
        yield f"| memory by the rule of {name} | {median(found):.0%} | {max(found):.0%} | |"


def _memory_line(row: Row) -> str:
    setting, (predicted, measured) = row.setting, row.memory
    terms = [_mb(row.terms[name]) for name in ("weights", "state", "workspace", "runtime")]
    others = [f"{_mb(value)} ({value / measured - 1:+.0%})" for value in row.rules.values()]
    cells = [
        f"`{setting.model}`",
        setting.encoding,
        setting.dtype,
        str(setting.context),
        str(setting.batch),
        _mb(predicted),
        _mb(measured),
        f"{row.memory_error:+.1%}",
        *terms,
        *others,
    ]
    return f"| {' | '.join(cells)} |"


def _speed_line(row: Row) -> str:
    setting = row.setting
    cells = [f"`{setting.model}`", setting.encoding, str(setting.context), str(setting.batch)]
    for pair in (row.reading, row.writing):
        if pair is None:
            cells += ["", "", ""]
        else:
            cells += [f"{pair[0]:,.1f}", f"{pair[1]:,.1f}", f"{pair[0] / pair[1] - 1:+.0%}"]
    cells.append("" if row.waited is None else f"{row.waited:.0%}")
    return f"| {' | '.join(cells)} |"


def _mb(count: float) -> str:
    return f"{count / 1e6:,.1f}"


def main() -> None:
    """Run the rows, print each as it comes, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few rows, printed alone")
    parser.add_argument("--only", default="", help="models whose name contains this")
    args = parser.parse_args()
    began, rates, rows = perf_counter(), measured_rates(), []
    for setting in settings(args.only, args.quick):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(setting, rates, Path(folder)))
        print(_memory_line(rows[-1]), _speed_line(rows[-1]), sep="\n", flush=True)
    text = page(rows, rates, perf_counter() - began)
    if args.quick or args.only:
        print("\n".join(_summary(rows)))
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
