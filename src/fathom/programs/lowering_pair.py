"""A model that reads or hears, and writes about it, as programs over one source.

The first leaves keys and values of a source for every layer of the decoder in the source's pages:
of a text it runs the encoder before, of a sound it accepts what was heard. The second writes
tokens, whose own keys and values lie in pages of their own, and looks at the source. A third says
where some heads look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.programs.cross_steps import Accept, Look
from fathom.programs.distance_table import Distances
from fathom.programs.layout import WIDEST_HEAD, StateType, head_bytes
from fathom.programs.lowering import (
    STREAM,
    Lowering,
    chosen_rows,
    factor,
    join,
    lower_embedding,
    lower_feed_forward,
    lower_output,
    normalise,
)
from fathom.programs.lowering_attention import lower_attention
from fathom.programs.lowering_layer import lower_layer, named
from fathom.programs.plan import NoProgramError, Plan
from fathom.programs.steps import Attend, Deliver, Factor, Heads, Multiply, Place, Select
from fathom.spec.attention import Attention
from fathom.spec.decoder import Layer
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer, Stack
from fathom.spec.model import Writing
from fathom.spec.parts import Linear, children
from fathom.spec.speech import Speech


def lower_reader(spec: Writing, state: StateType = "float16") -> Plan:
    """Return the steps that leave keys and values of a source; `state` is what they are kept in.

    Raises:
        NoProgramError: for a part that no step expresses, named by its path.
    """
    if isinstance(spec, Speech):
        to = Lowering(spec.encoder.width, state)
        to.add(Accept(to.take(STREAM, to.width)))
    else:
        to = Lowering(spec.width, state)
        _begin(to, spec.encoder, "encoder")
        for index, layer in enumerate(spec.encoder.layers):
            path = f"encoder.layers.{index}"
            with named(path):
                if not isinstance(layer, Layer):
                    raise NoProgramError("a layer that reads looks at another text")
                lower_layer(to, layer, path)
        normalise(to, spec.encoder.norm, "encoder.norm", STREAM, STREAM)
    for index, each in enumerate(_looking(spec)):
        with named(f"decoder.layers.{index}"):
            _keep(to, each.cross, f"decoder.layers.{index}.cross")
    return to.plan(0, delivered=0)


def lower_writer(spec: Writing, state: StateType = "float16") -> Plan:
    """Return the steps that write tokens; `state` is what all keys and values are kept in.

    Raises:
        NoProgramError: for a part that no step expresses, named by its path.
    """
    to = Lowering(spec.decoder.embedding.width, state)
    lookup = _begin_writing(to, spec)
    for index, layer in enumerate(_looking(spec)):
        _write(to, layer, index)
    chosen = chosen_rows(to, to.width)
    to.add(Select(STREAM, chosen))
    chosen = normalise(to, spec.decoder.norm, "decoder.norm", chosen, chosen)
    lower_output(to, spec.output, chosen, lookup)
    return to.plan(spec.vocabulary)


def lower_look(
    spec: Writing, heads: Sequence[tuple[int, int]], most: int, state: StateType = "float16"
) -> Plan:
    """Return the steps that say where heads, pairs of layer and head, look.

    A token's result is (heads, `most`), a share for each token of the source, in the order of
    layers and of heads in them.

    Raises:
        NoProgramError: as `lower_writer`.
    """
    to = Lowering(spec.decoder.embedding.width, state)
    shares = to.take("shares", len(heads) * most)
    _begin_writing(to, spec)
    offset = 0
    for index, layer in enumerate(_looking(spec)):  # all: pages lie as their writer has them
        own = tuple(sorted(head for at, head in heads if at == index))
        query = _write(to, layer, index)
        if own:
            to.add(Look(query, shares, offset, own, most, _scale(layer.cross)))
            offset += len(own) * most
    to.add(Deliver(shares))
    return to.plan(0, delivered=len(heads) * most)


def _looking(spec: Writing) -> tuple[CrossLayer, ...]:
    """Return the layers of the decoder, each of which looks at the source."""
    found = tuple(layer for layer in spec.decoder.layers if isinstance(layer, CrossLayer))
    if len(found) < len(spec.decoder.layers):
        raise NoProgramError("a layer that writes does not look at what was read")
    return found


def _begin_writing(to: Lowering, spec: Writing) -> str:
    """Begin a text with its embedding; return the path of the one whose table is looked up in."""
    shared = spec.decoder.embedding.shared
    return _begin(to, spec.decoder, "decoder", "encoder" if shared else "decoder")


def _begin(to: Lowering, stack: Stack, path: str, lookup: str | None = None) -> str:
    """Tokens → the stream of a stack, and what its layers add to their scores."""
    table = f"{lookup or path}.embedding"
    lower_embedding(to, stack.embedding, f"{path}.embedding", table)
    far = stack.distances
    if far is not None:
        shape = far.buckets, far.furthest, far.heads, far.both_directions
        to.distances = Distances(f"{path}.distances.scores.weight", *shape)
    return table


def _keep(to: Lowering, cross: CrossAttention, path: str) -> None:
    """Leave keys and values of the stream's rows in the source's pages."""
    maps = dict(_maps(cross, path))
    rows = to.take("keys and values", 2 * cross.key_heads * cross.head_width)
    to.add(Multiply(STREAM, rows, (maps["key"], maps["value"])))
    to.add(Place(_heads(to, cross, rows, asking=False)))


def _write(to: Lowering, layer: CrossLayer, index: int) -> Heads:
    """Add a layer to a text that is written; return the heads that look at the source."""
    path = f"decoder.layers.{index}"
    with named(path):
        first = layer.mixer_residual
        around = f"{path}.mixer_residual"
        entered = normalise(to, first.before, f"{around}.before", STREAM, "normed")
        if not isinstance(layer.mixer, Attention):
            raise NoProgramError(f"{type(layer.mixer).__name__} does not write beside a source")
        lower_attention(to, layer.mixer, first, (f"{path}.mixer", around), entered)
        heads = _look_at_source(to, layer, path)
        second = layer.feed_forward_residual
        around = f"{path}.feed_forward_residual"
        fed = normalise(to, second.before, f"{around}.before", STREAM, "normed")
        lower_feed_forward(to, layer.feed_forward, second, (f"{path}.feed_forward", around), fed)
    return heads


def _look_at_source(to: Lowering, layer: CrossLayer, path: str) -> Heads:
    cross, residual = layer.cross, layer.cross_residual
    around, path = f"{path}.cross_residual", f"{path}.cross"
    entered = normalise(to, residual.before, f"{around}.before", STREAM, "normed")
    maps = dict(_maps(cross, path))
    width = cross.heads * cross.head_width
    rows, mixed = to.take("looking", width), to.take("seen", width)
    to.add(Multiply(entered, rows, (maps["query"],)))
    heads = _heads(to, cross, rows, asking=True)
    to.add(Attend(heads, mixed, "everything", 0, _scale(cross), looks=True))
    join(to, residual, around, mixed, maps["output"])
    return heads


def _heads(to: Lowering, cross: CrossAttention, rows: str, *, asking: bool) -> Heads:
    """Give a layer its place in the source's pages: rows hold queries, or else keys and values."""
    if cross.query_norm is not None or cross.key_norm is not None:
        raise NoProgramError("heads that look at a source are normed")
    if cross.head_width > WIDEST_HEAD:
        raise NoProgramError(f"heads of {cross.head_width} are wider than {WIDEST_HEAD}")
    own = cross.key_heads * head_bytes(cross.head_width, to.state)
    pool, offset = to.page(None, own, source=True)
    queries = cross.heads if asking else 0
    return Heads(rows, queries, cross.key_heads, cross.head_width, pool, offset, to.state)


def _maps(cross: CrossAttention, path: str) -> Iterator[tuple[str, Factor]]:
    for name, part in children(cross):
        if isinstance(part, Linear):
            yield name, factor(part, f"{path}.{name}")


def _scale(cross: CrossAttention) -> float:
    return cross.head_width**-0.5 if cross.scale is None else cross.scale
