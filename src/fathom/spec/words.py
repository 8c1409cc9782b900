"""Parts of a spec in words: what a reader's page says of each.

Types that publishers use often have a phrase of their own below, which says what fields it tells.
Every other field is told by its name where it differs from its default, and a type without a
phrase by its name, so that nothing new is mute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import groupby
from re import sub
from typing import Any, TypeAlias, TypeGuard, TypeVar

from fathom.spec.attention import Attention, Chunk, Everything, Reach, Window
from fathom.spec.decoder import Embedding, Output, Residual
from fathom.spec.experts import Experts, Router
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.heads import Transform
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Bare, GroupNorm, Linear, Norm, Table
from fathom.spec.parts import Convolution as Kernel
from fathom.spec.positions import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Rotary,
    YarnScaling,
)
from fathom.spec.state_space import Convolution, DeltaRule, Mamba, Mamba2

NORMS = {"rms": "RMS norm", "layer": "layer norm"}
LISTED = 4  # items of a tuple that are written out; longer ones are counted


Phrases: TypeAlias = Callable[[Any], Sequence[str]]
P = TypeVar("P", bound=Phrases)

# A type → what tells of it, and the fields that this covers.
_TOLD: dict[type, tuple[Phrases, frozenset[str]]] = {}


def tells(kind: type, *covered: str) -> Callable[[P], P]:
    """Make a function the phrases of a type and its descendants; it covers the fields named."""

    def register(function: P) -> P:
        _TOLD[kind] = function, frozenset(covered)
        return function

    return register


def words(part: object) -> str:
    """Return what a part is, in one line; empty where there is nothing to say."""
    return "; ".join(phrases(part))


def phrases(part: object) -> Sequence[str]:
    """Return what a part is as short phrases, and after them what is unusual in it.

    Of parts in a row, those that are alike are told once.
    """
    if _is_row(part):
        return tuple(_alike(one, len(list(alike))) for one, alike in groupby(part))
    if not is_dataclass(part) or isinstance(part, type):
        return (str(part),)
    for kind in type(part).__mro__:
        if kind in _TOLD:
            function, covered = _TOLD[kind]
            return (*function(part), *_fields(part, covered))
    told = ", ".join(_fields(part, frozenset()))
    name = spaced(type(part).__name__)
    return (f"{name} of {told}" if told else name,)


def _is_row(part: object) -> TypeGuard[tuple[object, ...]]:
    return isinstance(part, tuple) and bool(part) and all(map(is_dataclass, part))


def _alike(part: object, times: int) -> str:
    return words(part) if times == 1 else f"{times} × ({words(part)})"


def _fields(part: object, covered: frozenset[str]) -> Iterator[str]:
    """Yield the fields that no phrase covers, where they are not as usual."""
    if not is_dataclass(part):
        return
    for field in fields(part):
        told = "" if field.name in covered else _field(field, getattr(part, field.name))
        if told:
            yield told


def spaced(name: str) -> str:
    """Return a type's name as words: ``LatentAttention`` is "latent attention"."""
    return sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def _field(field: Field[object], value: object) -> str:
    """Return a field and its value, or nothing where it is as it would be unsaid."""
    unsaid = field.default_factory() if callable(field.default_factory) else field.default
    if value is None or value is False or (unsaid is not MISSING and value == unsaid):
        return ""
    label = field.name.replace("_", " ")
    if value is True:
        return label
    if is_dataclass(value) or _is_row(value):
        return f"{label} ({words(value)})"
    if isinstance(value, tuple) and len(value) > LISTED:
        return f"{len(value):,} {label}"
    return f"{label} {number(value)}"


def number(value: object) -> str:
    """Return a number with separators, floats short; anything else as it prints."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.6g}"
    return f"{value:,.0f}"


@tells(Norm, "width", "epsilon", "kind", "weight", "bias", "role", "groups")
def _norm(part: Norm) -> Sequence[str]:
    bare = "" if part.weight else ", without weights"
    bare += ", with bias" if part.bias else ""
    groups = f" in {part.groups} groups" if part.groups > 1 else ""
    return (f"{NORMS[part.kind]} of {part.width:,}{groups}, epsilon {part.epsilon:g}{bare}",)


@tells(Linear, "inputs", "outputs", "role", "bias", "stack")
def _linear(part: Linear) -> Sequence[str]:
    stacked = "" if part.stack is None else f"{part.stack:,} maps "
    biased = ", with bias" if part.bias else ""
    return (f"{stacked}{part.inputs:,} → {part.outputs:,}{biased}",)


@tells(Table, "rows", "width", "role")
def _table(part: Table) -> Sequence[str]:
    return (f"{part.rows:,} rows of {part.width:,}",)


@tells(
    Kernel,
    *("inputs", "outputs", "kernel", "stride", "padding", "dilation"),
    *("groups", "bias", "transposed", "role"),
)
def _kernel(part: Kernel) -> Sequence[str]:
    name = "transposed convolution" if part.transposed else "convolution"
    said = f"{name} {part.inputs:,} → {part.outputs:,} of {_sides(part.kernel)}"
    said += f" in {part.groups:,} groups" if part.groups > 1 else ""
    said += f", stride {_sides(part.stride)}" if set(part.stride) != {1} else ""
    said += f", padding {_sides(part.padding)}" if any(part.padding) else ""
    said += f", dilation {_sides(part.dilation)}" if set(part.dilation) != {1} else ""
    return (said + ("" if part.bias else ", without bias"),)


def _sides(sides: tuple[int, ...]) -> str:
    return " × ".join(f"{side:,}" for side in sides)


@tells(GroupNorm, "channels", "groups", "epsilon", "role")
def _group_norm(part: GroupNorm) -> Sequence[str]:
    groups = f"{part.groups:,} groups" if part.groups > 1 else "one group"
    return (f"group norm of {part.channels:,} channels in {groups}, epsilon {part.epsilon:g}",)


@tells(Bare, "shape", "role")
def _bare(part: Bare) -> Sequence[str]:
    return (f"learned numbers, {_sides(part.shape)}",)


@tells(Residual, "before", "after", "closing", "scale", "scales", "gate")
def _residual(part: Residual) -> Sequence[str]:
    norms = {"before it": part.before, "on its result": part.after, "after adding": part.closing}
    said = [f"{NORMS[norm.kind]} {place}" for place, norm in norms.items() if norm is not None]
    scaled = [] if part.scale == 1.0 else [f"added × {part.scale:g}"]
    scaled += [] if part.scales is None else ["added × a learned number per channel"]
    scaled += [] if part.gate is None else ["added × the tanh of a learned number"]
    return (*said, *scaled)


@tells(
    Attention,
    "width",
    "heads",
    "kv_heads",
    "head_width",
    "positions",
    "reach",
    "causal",
    "scale",
    "input_bias",
    "output_bias",
    "query_norm",
    "key_norm",
    "clip",
    "soft_cap",
    "sinks",
)
def _attention(part: Attention) -> Sequence[str]:
    said = [
        _heads(part),
        "no positions" if part.positions is None else words(part.positions),
        _reach(part.reach, part.causal),
    ]
    norms = [name for name in ("query", "key") if getattr(part, f"{name}_norm") is not None]
    said += [f"{' and '.join(norms)} normed"] if norms else []
    said += _biased({"query, key and value": part.input_bias, "output": part.output_bias})
    said += [] if part.scale is None else [f"scores × {part.scale:.4g}"]
    said += [] if part.clip is None else [f"clipped at ± {part.clip:g}"]
    said += [] if part.soft_cap is None else [f"scores capped at ± {part.soft_cap:g}"]
    said += ["a learned sink per head"] if part.sinks else []
    return said


def _heads(part: Attention) -> str:
    heads = f"{spaced(type(part).__name__)} of {part.heads:,} heads × {part.head_width:,}"
    if part.kv_heads == part.heads:
        return heads
    shared = "one key head" if part.kv_heads == 1 else f"{part.kv_heads:,} key heads"
    return f"{heads} on {shared}"


@tells(
    LatentAttention,
    *("width", "heads", "latent", "plain_width", "value_width", "positions", "epsilon"),
    *("query_latent", "scale", "input_bias", "output_bias"),
)
def _latent_attention(part: LatentAttention) -> Sequence[str]:
    said = [
        f"latent attention of {part.heads:,} heads, keys {part.key_width:,} wide"
        f" and values {part.value_width:,}",
        f"read off {part.latent:,} numbers per token, norms with epsilon {part.epsilon:g}",
        words(part.positions),
    ]
    said += [f"queries off {part.query_latent:,}"] if part.query_latent else []
    said += [f"scores × {part.scale:.4g}"] if part.scale is not None else []
    return (*said, *_biased({"the latents": part.input_bias, "output": part.output_bias}))


def _biased(sides: Mapping[str, bool]) -> Sequence[str]:
    biased = [side for side, has in sides.items() if has]
    return [f"bias on {' and '.join(biased)}"] if biased else []


def _reach(reach: Reach, causal: bool) -> str:
    if isinstance(reach, Everything):
        return "sees all before" if causal else "sees everything"
    around = "the last" if causal else "those within a window of"
    if isinstance(reach, Window):
        return f"sees {around} {reach.width:,} tokens"
    if isinstance(reach, Chunk):
        return f"sees its own block of {reach.width:,} tokens"
    return f"sees {words(reach)}"


@tells(Rotary, "base", "width", "interleaved", "scaling")
def _rotary(part: Rotary) -> Sequence[str]:
    pairs = ", neighbours paired" if part.interleaved else ""
    scaled = "" if part.scaling is None else f", {words(part.scaling)}"
    return (
        f"rotary positions on {part.width:,} dimensions, base {number(part.base)}{pairs}{scaled}",
    )


@tells(LinearScaling, "factor")
@tells(DynamicScaling, "factor", "original")
@tells(Llama3Scaling, "factor", "original", "low_frequency", "high_frequency")
@tells(YarnScaling, "factor", "original", "attention")
@tells(LongRopeScaling, "short", "long", "original", "attention")
def _scaling(
    part: LinearScaling | DynamicScaling | Llama3Scaling | YarnScaling | LongRopeScaling,
) -> Sequence[str]:
    law = {Llama3Scaling: "Llama 3's law", YarnScaling: "YaRN", LongRopeScaling: "LongRoPE"}
    name = law.get(type(part), spaced(type(part).__name__).removesuffix(" scaling") + " law")
    factor = "" if isinstance(part, LongRopeScaling) else f" {part.factor:g}×"
    origin = "" if isinstance(part, LinearScaling) else f" from {part.original:,}"
    return (f"stretched{factor}{origin} by {name}",)


@tells(Convolution, "channels", "kernel", "bias", "activation")
def _convolution(part: Convolution) -> Sequence[str]:
    bias = "" if part.bias else ", without bias"
    return (f"{part.activation} of the last {part.kernel} inputs on {part.channels:,}{bias}",)


@tells(Mamba, *("width", "inner", "state_width", "rank", "convolution", "bias"))
def _mamba(part: Mamba) -> Sequence[str]:
    return (
        f"Mamba, {part.inner:,} channels remember {part.state_width} numbers each",
        f"time step of rank {part.rank}",
        f"first {words(part.convolution)}",
        *(["with biases"] if part.bias else []),
    )


@tells(Mamba2, *("width", "heads", "head_width", "groups", "state_width", "convolution"))
def _mamba2(part: Mamba2) -> Sequence[str]:
    return (
        f"Mamba 2, {part.heads:,} heads remember {part.head_width} × {part.state_width} each",
        f"written and read in {part.groups} groups",
        f"first {words(part.convolution)}",
    )


@tells(DeltaRule, *("width", "key_heads", "key_width", "value_heads", "value_width", "convolution"))
def _delta_rule(part: DeltaRule) -> Sequence[str]:
    return (
        f"delta rule, {part.value_heads:,} heads remember {part.key_width} × {part.value_width}",
        f"keys of {part.key_heads:,} heads",
        f"first {words(part.convolution)}",
    )


@tells(GatedMlp, "width", "inner", "activation", "bias")
def _gated(part: GatedMlp) -> Sequence[str]:
    biased = ("with biases",) if part.bias else ()
    return (f"gated by {part.activation}, {_there_and_back(part.width, part.inner)}", *biased)


@tells(Mlp, "width", "inner", "activation", "bias")
def _mlp(part: Mlp) -> Sequence[str]:
    biased = ("with biases",) if part.bias else ()
    return (f"{part.activation}, {_there_and_back(part.width, part.inner)}", *biased)


def _there_and_back(width: int, inner: int) -> str:
    return f"{width:,} → {inner:,} → {width:,}"


@tells(Experts, "router", "inner", "activation", "bias", "shared", "shared_gate", "weighted")
def _experts(part: Experts) -> Sequence[str]:
    router = part.router
    sizes = _there_and_back(part.width, part.inner)
    activation = part.activation if isinstance(part.activation, str) else words(part.activation)
    said = [
        f"{router.active} of {router.experts:,} experts, each {activation} gated, {sizes}",
        words(router),
    ]
    said += [f"a shared one: {words(part.shared)}"] if part.shared is not None else []
    said += ["the shared one gated"] if part.shared_gate else []
    said += ["with biases"] if part.bias else []
    said += ["weighted on entering"] if part.weighted == "input" else []
    return said


@tells(
    Router, "width", "experts", "active", "scoring", "renormalise", "correction", "groups", "scale"
)
def _router(part: Router) -> Sequence[str]:
    said = [f"chosen by {part.scoring}"]
    said += ["weights renormalised"] if part.renormalise else []
    said += ["a correction per expert"] if part.correction else []
    if part.groups is not None:
        said.append(f"from the {part.groups.active} best of {part.groups.count} groups")
    said += [] if part.scale == 1.0 else [f"weights × {part.scale:g}"]
    return (", ".join(said),)


@tells(Transform, "width", "activation", "norm", "bias")
def _transform(part: Transform) -> Sequence[str]:
    bias = "" if part.bias else " without bias"
    norm = "" if part.norm is None else f", then {words(part.norm)}"
    return (f"{part.activation} of a map {part.width:,} → {part.width:,}{bias}{norm}",)


@tells(
    Embedding,
    "vocabulary",
    "width",
    "scale",
    "positions",
    "token_types",
    "norm",
    "shared",
    "table_width",
)
def _embedding(part: Embedding) -> Sequence[str]:
    rows = f"{part.vocabulary:,} tokens × {part.width:,}"
    said = [f"{rows}, the table of the encoder" if part.shared else rows]
    said += [] if part.table_width is None else [f"a table of {part.table_width:,}, widened"]
    said += [] if part.positions is None else [f"positions added: {words(part.positions)}"]
    said += [] if part.token_types is None else [f"{part.token_types.rows} kinds of text"]
    said += [] if part.scale == 1.0 else [f"× {part.scale:.6g}"]
    said += [] if part.norm is None else [words(part.norm)]
    return said


@tells(Output, "width", "vocabulary", "tied", "bias", "scale", "soft_cap", "table_width")
def _output(part: Output) -> Sequence[str]:
    source = "the embedding's own table" if part.tied else "a table of its own"
    said = [f"{part.width:,} → {part.vocabulary:,} scores, {source}"]
    said += [] if part.table_width is None else [f"narrowed to {part.table_width:,} first"]
    said += ["with bias"] if part.bias else []
    said += [] if part.scale == 1.0 else [f"scores × {part.scale:.4g}"]
    said += [] if part.soft_cap is None else [f"scores capped at ± {part.soft_cap:g}"]
    return said
