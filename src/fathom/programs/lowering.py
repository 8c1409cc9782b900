"""From parts of a spec to steps of a program, by the type of part and nothing else.

Each function appends the steps of one part and says under which name its result lies. What no
step expresses raises `NoProgramError` with the part and the reason, and runs in PyTorch instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fathom.programs.cross_steps import Waves
from fathom.programs.layout import ALIGNMENT, StateType
from fathom.programs.plan import NoProgramError, Plan, PoolShape, Step
from fathom.programs.steps import (
    Activate,
    Add,
    AddRows,
    Embed,
    Factor,
    GateRows,
    Matrix,
    MixExperts,
    Multiply,
    Narrow,
    Normalise,
    NormShape,
    Routing,
    Rows,
)
from fathom.spec.decoder import Embedding, FeedForward, Output, Residual
from fathom.spec.experts import ClampedSwish, Experts, Router, SparseMixer
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Linear, Norm, children
from fathom.spec.positions import Rotary, Sinusoid

if TYPE_CHECKING:
    from fathom.programs.distance_table import Distances

STREAM = "stream"  # rows of hidden states, that every part adds to

# Numbers of a row for each block that is refined. In what a norm makes of the stream mostly the
# same few channels are far above the others (massive activations, arXiv 2402.17762): on a model of
# width 576 one block of 18 holds two thirds of all that eight bits lose there. Rows before scores
# are few, and what they lose reaches the probabilities at once.
NORMED, SCORED = 1024, 256


@dataclass
class Lowering:
    """Steps so far, and the rows, pools and rotations that they use.

    `distances` are what all layers of the stack at hand add to their scores. Where the layer at
    hand is the `last` one, only rows of chosen tokens go on from its mixing; then it is `narrowed`.
    """

    width: int
    state: StateType
    rows: dict[str, Rows] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    rotations: dict[Rotary, int] = field(default_factory=dict)  # with their frequencies' offset
    pools: list[PoolShape] = field(default_factory=list)
    slot_bytes: int = 0  # of what recurrences remember of a sequence
    distances: Distances | None = None
    last: bool = False
    narrowed: bool = False

    def take(self, name: str, width: int, repeats: int = 1, refined: int = 0) -> str:
        """Return the name of rows of this shape; layers of one shape share them."""
        shape = Rows(width, repeats, refined)
        while self.rows.setdefault(name, shape) != shape:
            name += "'"
        return name

    def add(self, step: Step) -> None:
        self.steps.append(step)

    def narrow(self, mixed: str | None = None) -> None:
        """Go on with the rows of chosen tokens: of the stream, and of what a mixing found."""
        rooms = [(STREAM, self.take("part", self.width))]
        if mixed is not None:
            rooms.append((mixed, self.take("normed", self.rows[mixed].width)))
        self.add(Narrow(tuple(rooms)))
        self.narrowed = True

    def page(
        self, window: int | None, own: int, *, kept: bool = True, source: bool = False
    ) -> tuple[int, int]:
        """Make room for a layer in the pages of layers that reach as far: their pool, an offset.

        What is not `kept` after a call lies in one place, which all such layers use in turn.
        """
        kind = PoolShape(window, 0, source)
        found = [at for at, pool in enumerate(self.pools) if replace(pool, page_bytes=0) == kind]
        if not found:
            self.pools.append(kind)
        index = found[0] if found else len(self.pools) - 1
        held = self.pools[index].page_bytes
        offset = held if kept else 0
        self.pools[index] = replace(kind, page_bytes=max(held, offset + own))
        return index, offset

    def remember(self, numbers: int) -> int:
        """Make room in a sequence's slot for numbers in float32; return where it begins."""
        offset = self.slot_bytes
        self.slot_bytes += -(-4 * numbers // ALIGNMENT) * ALIGNMENT
        return offset

    def plan(self, vocabulary: int, delivered: int | None = None) -> Plan:
        """Return all steps as a plan."""
        return Plan(
            self.rows,
            tuple(self.steps),
            tuple(self.pools),
            self.frequency_width,
            vocabulary,
            self.slot_bytes,
            delivered,
        )

    @property
    def frequency_width(self) -> int:
        """Numbers per sequence: for each rotation its frequencies and a factor."""
        return sum(rotary.width // 2 + 1 for rotary in self.rotations)


def norm_shape(norm: Norm, path: str) -> NormShape:
    """Return the shape of a norm whose parameters lie under a path."""
    return NormShape(
        norm.width // norm.groups,
        norm.groups,
        norm.kind == "layer",
        norm.epsilon,
        f"{path}.weight" if norm.weight else None,
        f"{path}.bias" if norm.bias else None,
    )


def chosen_rows(to: Lowering, width: int) -> str:
    """Return the rows that scores are made of: few, and all that a token says goes through them."""
    return to.take("chosen", width, refined=-(-width // SCORED))


def normalise(to: Lowering, norm: Norm | None, path: str, source: str, target: str) -> str:
    """Norm rows into others of their width; without a norm they stay as they are."""
    if norm is None:
        return source
    if target != source:
        target = to.take(target, norm.width, refined=-(-norm.width // NORMED))
    to.add(Normalise(source, target, norm_shape(norm, path)))
    return target


def factor(linear: Linear, path: str, expert: int | None = None, *, exact: bool = False) -> Factor:
    """Return a linear map by the names of its parameters."""
    bias = f"{path}.bias" if linear.bias else None
    return Factor(Matrix(f"{path}.weight", expert, exact), bias)


def join(to: Lowering, residual: Residual, path: str, source: str, last: Factor) -> None:
    """Pass rows through a part's last map, and add what comes out to the stream."""
    if residual.scales is not None or residual.gate is not None:
        raise NoProgramError("what a part adds is scaled by learned numbers")
    if residual.after is None:
        room = to.take("part", to.width)
        to.add(Multiply(source, STREAM, (last,), room, residual.scale))
        return finish_join(to, residual, path, None)
    part = to.take("part", to.width)
    to.add(Multiply(source, part, (last,)))
    return finish_join(to, residual, path, part)


def finish_join(to: Lowering, residual: Residual, path: str, part: str | None) -> None:
    """Norm a part's result and add it, unless it was added already; then the stream's own norm."""
    if part is not None:
        normalise(to, residual.after, f"{path}.after", part, part)
        to.add(Add(part, STREAM, residual.scale))
    normalise(to, residual.closing, f"{path}.closing", STREAM, STREAM)


def lower_embedding(
    to: Lowering, embedding: Embedding, path: str = "embedding", lookup: str = "embedding"
) -> None:
    """Tokens → the stream; `lookup` is the path of the embedding whose table is looked up in."""
    offset, waves = embedding.position_offset, isinstance(embedding.positions, Sinusoid)
    positions = f"{path}.positions.weight" if embedding.positions and not waves else None
    types = f"{path}.token_types.weight" if embedding.token_types else None
    table = Matrix(f"{lookup}.tokens.weight")
    stream = to.take(STREAM, to.width)
    if embedding.table_width is None:
        to.add(Embed(table, stream, embedding.scale, positions, offset, types))
    else:
        narrow = to.take("table", embedding.table_width)
        to.add(Embed(table, narrow, embedding.scale))
        to.add(Multiply(narrow, stream, (_child(embedding, "widen", path),)))
        if positions or types:
            to.add(AddRows(stream, positions, offset, types))
    if waves:
        to.add(Waves(stream))
    normalise(to, embedding.norm, f"{path}.norm", stream, stream)


def lower_output(to: Lowering, output: Output, source: str, lookup: str = "embedding") -> None:
    """Rows of hidden states → scores; a tied output reads the table at the path `lookup`."""
    if output.table_width is not None:
        narrow = to.take("narrow", output.table_width)
        to.add(Multiply(source, narrow, (_child(output, "narrow", "output"),)))
        source = narrow
    head = Factor(Matrix(f"{lookup}.tokens.weight"), "output.bias" if output.bias else None)
    if not output.tied:
        head = _child(output, "head", "output")
    to.add(Multiply(source, None, (head,), scale=output.scale, cap=output.soft_cap or 0.0))


def _child(part: Embedding | Output | GatedMlp | Mlp, name: str, path: str) -> Factor:
    """Return the linear map that a part has under a name."""
    found = dict(children(part))[name]
    if not isinstance(found, Linear):
        raise TypeError(f"{path}.{name} is no linear map")
    return factor(found, f"{path}.{name}")


def lower_feed_forward(
    to: Lowering, part: FeedForward, residual: Residual, paths: tuple[str, str], source: str
) -> None:
    """Treat each token alone; `paths` are those of the part and of its residual."""
    path, around = paths
    match part:
        case GatedMlp():
            activated = _gated(to, part, path, source)
            join(to, residual, around, activated, _child(part, "down", path))
        case Mlp():
            inner = to.take("inner", part.inner)
            to.add(Multiply(source, inner, (_child(part, "up", path),)))
            to.add(Activate((inner, 0), None, inner, part.inner, part.activation))
            join(to, residual, around, inner, _child(part, "down", path))
        case Experts():
            _experts(to, part, residual, paths, source)


def _gated(to: Lowering, part: GatedMlp, path: str, source: str) -> str:
    """``activation(gate(x)) * up(x)``."""
    both = to.take("gate and up", 2 * part.inner)
    inner = to.take("inner", part.inner)
    factors = _child(part, "gate", path), _child(part, "up", path)
    to.add(Multiply(source, both, factors))
    to.add(Activate((both, 0), (both, part.inner), inner, part.inner, part.activation))
    return inner


def _experts(
    to: Lowering, part: Experts, residual: Residual, paths: tuple[str, str], source: str
) -> None:
    """The chosen experts', and a shared one's, results."""
    path, around = paths
    together = residual.after is not None or part.shared_gate  # assembled before it is added
    target = to.take("part", to.width) if together else STREAM
    if part.shared is not None:
        activated = _gated(to, part.shared, f"{path}.shared", source)
        down = _child(part.shared, "down", f"{path}.shared")
        if together:
            to.add(Multiply(activated, target, (down,)))
        else:
            to.add(Multiply(activated, target, (down,), to.take("part", to.width), residual.scale))
        if part.shared_gate:
            gate = Factor(Matrix(f"{path}.shared_gate.weight", exact=True), None)
            score = to.take("shared gate", 1)
            to.add(Multiply(source, score, (gate,)))
            to.add(GateRows(score, target))
    _mix(to, part, path, source, (target, 1.0 if together else residual.scale))
    finish_join(to, residual, around, target if together else None)


def _mix(to: Lowering, part: Experts, path: str, source: str, target: tuple[str, float]) -> None:
    """Route tokens, and add the results of chosen experts to a target with a scale."""
    router, active = part.router, part.router.active
    scores = to.take("experts' scores", router.experts)
    bias = f"{path}.router.scores.bias" if isinstance(router, Router) and router.bias else None
    weight = Matrix(f"{path}.router.scores.weight", exact=True)
    to.add(Multiply(source, scores, (Factor(weight, bias),)))
    swish = part.activation if isinstance(part.activation, ClampedSwish) else None
    rooms = (
        to.take("gathered", part.width, active),
        to.take("experts' gate and up", 2 * part.inner, active),
        to.take("experts' inner", part.inner, active),
        to.take("experts' results", part.width, active),
    )

    def expert(index: int) -> tuple[Factor, Factor, Factor]:
        def one(name: str) -> Factor:
            bias = f"{path}.experts.{name}.bias" if part.bias else None
            return Factor(Matrix(f"{path}.experts.{name}.weight", index), bias)

        return one("gate"), one("up"), one("down")

    to.add(
        MixExperts(
            source,
            scores,
            target[0],
            rooms,
            _routing(router, f"{path}.router"),
            tuple(expert(index) for index in range(router.experts)),
            "clamped_swish" if swish else str(part.activation),
            target[1],
            part.weighted == "input",
            target[0] != STREAM and part.shared is None,
            swish.alpha if swish else 0.0,
            swish.limit if swish else 0.0,
        )
    )


def _routing(router: Router | SparseMixer, path: str) -> Routing:
    if isinstance(router, SparseMixer):
        return Routing("sparse", router.experts, router.active, jitter=router.jitter)
    groups = router.groups
    return Routing(
        router.scoring,
        router.experts,
        router.active,
        router.renormalise,
        router.floor,
        router.scale,
        correction=f"{path}.correction" if router.correction else None,
        groups=(groups.count, groups.active, groups.best) if groups else (0, 0, 0),
    )
