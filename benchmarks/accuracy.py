"""What was measured, what is predicted of the same, and the page that shows both."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median

from random_models import configurations
from rules import RULES, Case

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.planning.predict import CODE_BYTES, predict
from fathom.planning.probe import Rates
from fathom.planning.speed import step_seconds, token_seconds
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import TextModel

KEPT = Path(__file__).with_name("accuracy.json")
REASONS = Path(__file__).with_name("reasons.toml")
TARGETS = {  # median, worst
    "memory": (0.03, 0.07),
    "reading": (0.15, 0.30),
    "writing": (0.15, 0.30),
}
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
class Measured:
    """What one row took: `one_process.Taken`. `stored` is the size of its file in bytes."""

    setting: Setting
    context: int
    stored: int
    taken: Mapping[str, object]

    def number(self, name: str) -> float | None:
        found = self.taken[name]
        return found if isinstance(found, int | float) else None


@dataclass(frozen=True)
class Kept:
    """All rows of one run, the rates of the machine then, and how many seconds it took."""

    rates: Rates
    rows: tuple[Measured, ...]
    seconds: float
    machine: str = ""

    @classmethod
    def read(cls) -> Kept:
        """Return what was measured last."""
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        rows = (Measured(**{**row, "setting": Setting(**row["setting"])}) for row in kept["rows"])
        return cls(Rates(**kept["rates"]), tuple(rows), kept["seconds"], kept["machine"])


@dataclass(frozen=True)
class Row:
    """One row, predicted and measured. Memory in bytes of growth, rates in tokens per second."""

    measured: Measured
    terms: Mapping[str, int]
    pairs: Mapping[str, tuple[float, float]]  # predicted and measured, by the names of TARGETS
    rules: Mapping[str, float] = field(default_factory=dict)

    @property
    def setting(self) -> Setting:
        return self.measured.setting

    def error(self, name: str) -> float:
        """Return predicted by measured, less one."""
        found, seen = self.pairs[name]
        return found / seen - 1

    def missed(self) -> Iterator[str]:
        """Yield the names of what is further off than the worst may be."""
        yield from (name for name in self.pairs if abs(self.error(name)) > TARGETS[name][1])


@cache
def spec_of(model: str) -> TextModel:
    """Return the spec of a model of the table."""
    config = dict(configurations()[model])
    return find(str(config["model_type"])).read(Config(config))


def predicted(measured: Measured, rates: Rates) -> Row:
    """Predict what a row took: its prompt fills the whole context, it writes at the end."""
    setting, context = measured.setting, measured.context
    spec, dtype, batch = spec_of(setting.model), setting.dtype, setting.batch
    found = predict(spec, dtype=dtype, context=context, batch=batch, rates=rates)
    terms = {**found.terms, "runtime": rates.code_bytes or CODE_BYTES}
    whole = isinstance(spec, Encoder | EncoderDecoder)
    seen = context if whole else 2 * context
    reading = 1 / sum(token_seconds(spec, dtype, seen, rates, batch).values())
    pairs = {
        "memory": (sum(terms.values()), measured.number("peak") or 0.0),
        "reading": (reading, measured.number("prefill_tokens_per_second") or 0.0),
    }
    writing = measured.number("decode_tokens_per_second")
    if writing is not None and not isinstance(spec, Encoder):
        step = step_seconds(spec, dtype, context, batch, rates)
        pairs["writing"] = (batch / sum(step.values()), writing)
    case = Case(spec, measured.stored, setting.encoding, context, batch)
    return Row(measured, terms, pairs, {name: rule(case) for name, rule in RULES.items()})


def line(row: Row) -> str:
    """Return a row for whoever waits for it."""
    setting = row.setting
    shown = (
        f"{name} {pair[0] / scale:,.1f} for {pair[1] / scale:,.1f} ({row.error(name):+.1%})"
        for name, pair in row.pairs.items()
        for scale in [1e6 if name == "memory" else 1]
    )
    how = f"{setting.encoding} {setting.dtype} {setting.context}×{setting.batch}"
    waited = row.measured.number("waited") or 0.0
    return f"{setting.model:18} {how:24} {'  '.join(shown)}  waited {waited:.0%}"


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of the errors, ours and those of other rules."""
    yield "| | median error | worst error | target |"
    yield "|---|---|---|---|"
    for name, (middle, worst) in TARGETS.items():
        found = [abs(row.error(name)) for row in rows if name in row.pairs]
        if found:
            target = f"{middle:.0%} and {worst:.0%}"
            yield f"| {name} | {median(found):.1%} | {max(found):.1%} | {target} |"
    for name in RULES:
        found = [abs(row.rules[name] / row.pairs["memory"][1] - 1) for row in rows]
        yield f"| memory by the rule of {name} | {median(found):.0%} | {max(found):.0%} | |"


def page(kept: Kept) -> str:
    """Return the document."""
    rows = [predicted(row, kept.rates) for row in kept.rows]
    return "\n".join(
        [
            "# How true predictions are",
            "",
            "Written by `python benchmarks/predict.py`: do not edit. Every dialect is a random"
            " model of at least 50 M parameters, run in a process of its own. Memory is the growth"
            " of the process over its idle base, at its peak. The worst row stands first.",
            "",
            "Rates are measured once, before the rows. Constants of the formula for which nothing"
            " could be counted were set with rows like these in sight: how often plain attention"
            " and a recurrence's step go over their numbers, and how many sizes experts meet.",
            "",
            f"{kept.machine}, rates measured {kept.rates.measured_at[:10]}; {len(rows)} rows in"
            f" {kept.seconds / 60:.0f} minutes.",
            "",
            *summary(rows),
            "",
            *_misses(rows),
            *_memory(rows),
            *_speed(rows),
        ]
    )


def _misses(rows: Sequence[Row]) -> Iterator[str]:
    """Yield every row that is further off than the worst may be, and why, the worst first."""
    missed = [
        (abs(row.error(name)) / TARGETS[name][1], row, name)
        for row in rows
        for name in row.missed()
    ]
    yield "## Targets missed, and why"
    yield ""
    if not missed:
        yield "None."
    else:
        yield "| model | computed | context | batch | what | predicted by measured | why |"
        yield "|---" * 7 + "|"
    for _, row, name in sorted(missed, key=lambda one: -one[0]):
        cells = [*_how(row), name, f"{row.error(name):+.0%}", reason(row, name)]
        yield f"| {' | '.join(cells)} |"
    yield ""


def reason(row: Row, name: str) -> str:
    """Return why a row misses its target: of the reasons that are known, the first that fits."""
    if (row.measured.number("waited") or 0.0) > BUSY and name != "memory":
        return "other work kept the process from a core"
    known = tomllib.loads(REASONS.read_text(encoding="utf-8"))["reason"]
    facts = {**vars(row.setting), "what": name, "sign": "+" if row.error(name) > 0 else "-"}
    for one in known:
        if all(_fits(facts[key], wanted) for key, wanted in one["where"].items()):
            return str(one["why"])
    return "not known yet"


def _fits(fact: object, wanted: object) -> bool:
    return fact in wanted if isinstance(wanted, list) else fact == wanted


def _how(row: Row) -> list[str]:
    setting = row.setting
    return [f"`{setting.model}`", setting.dtype, str(row.measured.context), str(setting.batch)]


def _memory(rows: Sequence[Row]) -> Iterator[str]:
    terms = ("weights", "state", "workspace", "prepared", "runtime")
    yield "## Memory, in MB"
    yield ""
    stated = ("model", "computed", "context", "batch", "file", "predicted", "measured", "error")
    head = (*stated, *terms, *RULES)
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in sorted(rows, key=lambda row: -abs(row.error("memory"))):
        found, measured = row.pairs["memory"]
        others = (f"{_mb(value)} ({value / measured - 1:+.0%})" for value in row.rules.values())
        cells = [*_how(row), row.setting.encoding, _mb(found), _mb(measured)]
        cells += [f"{row.error('memory'):+.1%}", *(_mb(row.terms[name]) for name in terms), *others]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        "The last columns are what the published rules of other estimators say of the row, and how"
        " far off that is. *Prepared* is code that oneDNN keeps, *runtime* that of kernels."
    )
    yield ""


def _speed(rows: Sequence[Row]) -> Iterator[str]:
    yield "## Speed, in tokens per second of all sequences"
    yield ""
    yield (
        "*Waited* is the share of time that other work kept the process from a core; from"
        f" {BUSY:.0%} on a row says more about the neighbours than about the model."
    )
    yield ""
    yield (
        "| model | computed | context | batch | reading: predicted | measured | error |"
        " writing: predicted | measured | error | waited |"
    )
    yield "|---" * 11 + "|"
    speeds = ("reading", "writing")
    worst = {
        id(row): max(abs(row.error(name)) for name in speeds if name in row.pairs) for row in rows
    }
    for row in sorted(rows, key=lambda row: -worst[id(row)]):
        cells = _how(row)
        for name in speeds:
            cells += _rates(row, name) if name in row.pairs else ["", "", ""]
        waited = row.measured.number("waited")
        cells.append("" if waited is None else f"{waited:.0%}")
        yield f"| {' | '.join(cells)} |"
    yield ""


def _rates(row: Row, name: str) -> list[str]:
    found, seen = row.pairs[name]
    return [f"{found:,.1f}", f"{seen:,.1f}", f"{row.error(name):+.0%}"]


def _mb(count: float) -> str:
    return f"{count / 1e6:,.1f}"
