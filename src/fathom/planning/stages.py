"""What a model that works in stages will need, and how long it will take, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fathom.planning import costs
from fathom.planning.costs import BYTES, computed_in
from fathom.planning.predict import runtime_bytes
from fathom.planning.probe import Rates
from fathom.spec.parts import children, leaves, walk
from fathom.spec.work import Pipeline, Stage, Staged, Work

# Operations that PyTorch is asked for per leaf of a part: a layer of attention and a feed-forward
# has eight leaves and issues 35 (`planning/issued.py`).
ISSUED_PER_LEAF = 4.4


@dataclass(frozen=True)
class StagedPrediction:
    """Bytes, and seconds, for some work of one model.

    `terms` name what the bytes are for and add up to `total_bytes`; weights are counted for each
    component by itself. `seconds` are those of each stage with all its passes, None without
    measured rates of the machine to divide by.
    """

    dtype: str
    work: Work
    terms: Mapping[str, int]
    seconds: Mapping[str, float] | None = None
    operations: Mapping[str, int] = field(default_factory=dict)  # by stage, of all its passes

    @property
    def total_bytes(self) -> int:
        return sum(self.terms.values())

    @property
    def total_seconds(self) -> float | None:
        return None if self.seconds is None else sum(self.seconds.values())


def predict_stages(
    spec: Staged, *, dtype: str, work: Work | None = None, rates: Rates | None = None
) -> StagedPrediction:
    """Predict memory, and with `rates` time, of some work; what it leaves open is as usual."""
    asked = settled(work or Work(), spec.usual)
    stages = spec.stages(asked)
    number = BYTES[dtype]
    terms = {
        f"weights: {name}": costs.weight_bytes(part, computed_in(dtype))
        for name, part in children(spec)
    }
    terms |= {
        "kept": number * sum(stage.kept for stage in stages),
        "workspace": number * max((stage.live for stage in stages), default=0),
        "runtime": runtime_bytes(rates),
    }
    seconds = None if rates is None else {one.name: _seconds(one, dtype, rates) for one in stages}
    operations = {stage.name: stage.passes * stage.operations for stage in stages}
    return StagedPrediction(dtype, asked, terms, seconds, operations)


def in_turns(found: StagedPrediction, spec: Pipeline) -> StagedPrediction:
    """Return a prediction for components that rest while others work.

    Weights and workspace are those of the turn that needs most; the rest is read again when its
    turn comes.
    """
    parts, number = dict(children(spec)), BYTES[found.dtype]
    stages = spec.stages(found.work)

    def needs(turn: tuple[str, ...]) -> tuple[dict[str, int], int]:
        weights = {f"weights: {name}": found.terms[f"weights: {name}"] for name in turn}
        inside = {id(part) for name in turn for part in walk(parts[name])}
        live = max((stage.live for stage in stages if id(stage.part) in inside), default=0)
        return weights, number * live

    weights, workspace = max(
        map(needs, spec.turns), key=lambda needed: sum(needed[0].values()) + needed[1]
    )
    rest = {name: size for name, size in found.terms.items() if not name.startswith("weights")}
    return replace(found, terms={**weights, **rest, "workspace": workspace})


def settled(work: Work, usual: Work) -> Work:
    """Return some work with nothing left open that the model's usual work states."""
    stated = {name: getattr(usual, name) for name in usual.__dataclass_fields__}
    missing = {name: value for name, value in stated.items() if getattr(work, name) is None}
    return replace(work, **missing)


def _seconds(stage: Stage, dtype: str, rates: Rates) -> float:
    """Return the time of all passes: of its arithmetic, or of reading its weights if that is more.

    A part that is passed once for many rows is bound by the first, one row at a time by the other.
    Every operation costs its call besides, which is most of the time of a small part.
    """
    calls = ISSUED_PER_LEAF * sum(1 for _ in leaves(stage.part)) * rates.operation_seconds
    arithmetic = stage.operations / rates.fastest(dtype)
    reading = costs.weight_bytes(stage.part, computed_in(dtype)) / rates.memory_read
    return stage.passes * (max(arithmetic, reading) + calls)
