"""From attention to steps: rotations, pools of pages, and what queries and keys go through."""

from __future__ import annotations

from typing import Literal

from fathom.programs.layout import WIDEST_HEAD, head_bytes
from fathom.programs.lowering import Lowering, factor, join, norm_shape
from fathom.programs.plan import NoProgramError
from fathom.programs.steps import Activate, Angles, Attend, Heads, Matrix, Multiply, Place
from fathom.spec.attention import Attention, Chunk, GatedAttention, Window
from fathom.spec.decoder import Residual
from fathom.spec.parts import Linear, children
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi

Reach = Literal["everything", "window", "chunk"]


def lower_attention(
    to: Lowering, mixer: Attention, residual: Residual, paths: tuple[str, str], source: str
) -> None:
    """Let tokens see one another; `paths` are those of the mixer and of its residual.

    Raises:
        NoProgramError: for what no step expresses.
    """
    if not mixer.causal and isinstance(mixer.reach, Chunk):
        raise NoProgramError("chunks are read one way only")
    if mixer.head_width > WIDEST_HEAD:
        raise NoProgramError(f"heads of {mixer.head_width} are wider than {WIDEST_HEAD}")
    path, around = paths
    gated = isinstance(mixer, GatedAttention)
    linears = {name: part for name, part in children(mixer) if isinstance(part, Linear)}
    names = ("query", "key", "value", *(("gate",) if gated else ()))
    mixed_width = mixer.heads * mixer.head_width
    rows = to.take("heads", sum(linears[name].outputs for name in names))
    into = tuple(factor(linears[name], f"{path}.{name}") for name in names)
    to.add(Multiply(source, rows, into))
    heads = _heads(to, mixer, rows)
    to.add(_place(to, mixer, path, heads))
    mixed = to.take("mixed", mixed_width)
    to.add(_attend(to, mixer, path, heads, mixed, into[0].matrix))
    if gated:
        gate_offset = mixed_width + 2 * mixer.kv_heads * mixer.head_width
        to.add(Activate((rows, gate_offset), (mixed, 0), mixed, mixed_width, "sigmoid"))
    if to.last:
        to.narrow(mixed)
    join(to, residual, around, mixed, factor(linears["output"], f"{path}.output"))


def angles(to: Lowering, rotary: Rotary) -> str:
    """Return the rows with a rotation's cosines and sines; layers share them."""
    name = f"angles {list(to.rotations).index(rotary)}" if rotary in to.rotations else ""
    if not name:
        name = to.take(f"angles {len(to.rotations)}", rotary.width)
        offset = to.frequency_width
        to.rotations[rotary] = offset
        to.add(Angles(name, offset))
    return name


def _heads(to: Lowering, mixer: Attention, rows: str) -> Heads:
    """Give a layer its place in the pages of layers that reach as far.

    Of texts that come whole nothing is left behind: all layers use one place in turn.
    """
    window = mixer.reach.width if isinstance(mixer.reach, Window) and mixer.causal else None
    own = mixer.kv_heads * head_bytes(mixer.head_width, to.state)
    index, offset = to.page(window, own, kept=mixer.causal)
    return Heads(rows, mixer.heads, mixer.kv_heads, mixer.head_width, index, offset, to.state)


def _place(to: Lowering, mixer: Attention, path: str, heads: Heads) -> Place:
    rotary = mixer.positions if isinstance(mixer.positions, Rotary) else None
    query, key = mixer.query_norm, mixer.key_norm
    grows = mixer.temperature
    return Place(
        heads,
        None if rotary is None else angles(to, rotary),
        rotary is not None and rotary.interleaved,
        None if query is None else norm_shape(query, f"{path}.query_norm"),
        None if key is None else norm_shape(key, f"{path}.key_norm"),
        mixer.norm_after_rotary,
        mixer.clip or 0.0,
        0 if grows is None else grows.every,
        0.0 if grows is None else grows.strength,
    )


def _attend(
    to: Lowering, mixer: Attention, path: str, heads: Heads, target: str, query: Matrix
) -> Attend:
    reach: Reach = "everything"
    width = 0
    if isinstance(mixer.reach, Window | Chunk):
        reach = "window" if isinstance(mixer.reach, Window) else "chunk"
        width = mixer.reach.width
    positions = mixer.positions
    return Attend(
        heads,
        target,
        reach,
        width,
        mixer.head_width**-0.5 if mixer.scale is None else mixer.scale,
        mixer.soft_cap or 0.0,
        positions.slopes if isinstance(positions, Alibi | RoundedAlibi) else None,
        f"{path}.sinks" if mixer.sinks else None,
        mixer.causal,
        isinstance(positions, RoundedAlibi),
        distances=to.distances,
        narrowed=to.last,
        query=query,
    )
