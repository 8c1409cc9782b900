"""What a model that works in stages will need, and how long it will take, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fathom.planning import costs
from fathom.planning.costs import BYTES, EXACT_BYTES, computed_in
from fathom.planning.executing import PREPARED_BYTES, PREPARED_TYPE
from fathom.planning.machine import this_machine
from fathom.planning.predict import runtime_bytes
from fathom.planning.probe import Rates, usable_threads
from fathom.planning.staged_speed import beside_stages, pass_seconds
from fathom.planning.whole_layers import whole_parts
from fathom.spec.parts import Linear, Part, children, walk
from fathom.spec.whole import WholeGridLayer, WholeLayer, room
from fathom.spec.work import Pipeline, Stage, Staged, Work

# Tiles of a convolution that lie transformed at once: `near_bytes` of ops/kernels/convolution.cpp.
TILES_BYTES = 6 * 2**20


@dataclass(frozen=True)
class StagedPrediction:
    """Bytes, and seconds, for some work of one model.

    `terms` name what the bytes are for and add up to `total_bytes`; weights are counted for each
    component by itself. `seconds` are those of each stage with all its passes, and of what is done
    beside them; None without measured rates of the machine to divide by.
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
        "workspace": max((held(stage, dtype) for stage in stages), default=0),
        "runtime": runtime_bytes(rates),
    }
    seconds = None
    if rates is not None:
        seconds = {
            one.name: one.passes * sum(pass_seconds(one, dtype, rates).values()) for one in stages
        }
        seconds |= beside_stages(spec, asked, dtype, rates)
    operations = {stage.name: stage.passes * stage.operations for stage in stages}
    return StagedPrediction(dtype, asked, terms, seconds, operations)


def in_turns(found: StagedPrediction, spec: Pipeline) -> StagedPrediction:
    """Return a prediction for components that rest while others work.

    Weights and workspace are those of the turn that needs most; the rest is read again when its
    turn comes.
    """
    parts = dict(children(spec))
    stages = spec.stages(found.work)

    def needs(turn: tuple[str, ...]) -> tuple[dict[str, int], int]:
        weights = {f"weights: {name}": found.terms[f"weights: {name}"] for name in turn}
        inside = {id(part) for name in turn for part in walk(parts[name])}
        working = (held(stage, found.dtype) for stage in stages if id(stage.part) in inside)
        return weights, max(working, default=0)

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


def held(stage: Stage, dtype: str) -> int:
    """Return the bytes held at a stage's largest moment, `beside` its own numbers too."""
    return BYTES[dtype] * stage.live + beside(stage, dtype)


def beside(stage: Stage, dtype: str) -> int:
    """Return the bytes that kernels hold for themselves while a stage works.

    Threads need some for tokens on their way through whole layers, convolutions for transformed
    tiles, and oneDNN keeps the code of every shape of product.
    """
    most = max((room(layer) for layer in whole_parts(stage.part)), default=0)
    prepared = PREPARED_BYTES * len(set(_shapes(stage.part))) if dtype == PREPARED_TYPE else 0
    tiles = TILES_BYTES if stage.filtered else 0
    return EXACT_BYTES * most * usable_threads(this_machine()) + tiles + prepared


def _shapes(part: Part) -> Iterator[tuple[int, int]]:
    """Yield inputs and outputs of each product that PyTorch does."""
    if isinstance(part, WholeLayer | WholeGridLayer):
        return
    if isinstance(part, Linear):
        yield part.inputs, part.outputs
    for _, child in children(part):
        yield from _shapes(child)
