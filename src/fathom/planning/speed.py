"""Seconds of reading and writing, term by term, from a spec and a machine's measured rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fathom.planning import costs
from fathom.planning.costs import BYTES
from fathom.planning.issued import EXPERT, issued
from fathom.planning.probe import Rates
from fathom.spec.decoder import Decoder, Layer
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import CrossLayer, EncoderDecoder
from fathom.spec.experts import Experts
from fathom.spec.model import TextModel
from fathom.spec.parts import Linear, Part, children

WEIGHTS, STATE, CALLS = "reading the weights", "reading the state", "calling the operations"
MAPS, SCORES = "maps", "scores"


def step_seconds(
    spec: Decoder | EncoderDecoder, dtype: str, context: int, batch: int, rates: Rates
) -> Mapping[str, float]:
    """Return the seconds that one more token of each row takes, by what they are spent on.

    Every matrix is read once for all rows, at the rate of its size, of experts those that any
    row chose; but never faster than its arithmetic is done. The keys and values of each row's
    `context` are read, and every operation costs its call.
    """
    writing = (spec.decoder, spec.output) if isinstance(spec, EncoderDecoder) else spec
    layers = spec.decoder.layers if isinstance(spec, EncoderDecoder) else spec.layers
    weights = sum(
        times
        * size
        * max(
            BYTES[dtype] / rates.weights_per_second(dtype, size),
            2 * rows / rates.matmul[dtype] if rows > 1 else 0.0,
        )
        for size, times, rows in _matrices(writing, batch)
    )
    kept = batch * costs.state_bytes(spec, dtype, context)
    calls = sum(issued(layer, context) + _more_experts(layer, batch) for layer in layers)
    return {
        WEIGHTS: weights,
        STATE: kept / rates.memory_read,
        CALLS: calls * rates.operation_seconds,
    }


def token_seconds(spec: TextModel, dtype: str, context: int, rates: Rates) -> Mapping[str, float]:
    """Return the seconds per token of reading a prompt that fills half of the context.

    Of a model that writes after it has read, only the half that reads takes part.
    """
    layers = spec.encoder.layers if isinstance(spec, EncoderDecoder) else spec.layers
    whole = isinstance(spec, Encoder | EncoderDecoder)  # every token sees all others
    seen = context if whole else context // 4  # of half a context, half on average
    rate = rates.matmul[dtype]
    return {
        MAPS: costs.map_operations(layers) / rate,
        SCORES: costs.mixing_operations(layers, max(1, seen)) / rate,
    }


def expected_experts(experts: int, active: int, batch: int) -> float:
    """Return how many of a layer's experts `batch` tokens are expected to choose between them.

    ``E · (1 - (1 - k/E) ** B)``, for tokens that choose independently and evenly.
    """
    return experts * (1 - (1 - active / experts) ** batch)


def _matrices(part: Part, batch: int) -> Iterator[tuple[int, float, float]]:
    """Yield (numbers in a matrix, how many such are read for a batch, rows multiplied with each).

    A stack with a map per head is one matrix, and a tied output is a matrix like any other.
    """
    for leaf in _linears(part):
        size = leaf.inputs * leaf.outputs
        if leaf.active is None or leaf.stack is None:
            yield size * leaf.passed, 1, batch
        else:
            chosen = expected_experts(leaf.stack, leaf.active, batch)
            yield size, chosen, batch * leaf.active / chosen
    for output in costs.tied_outputs(part):
        yield output.vocabulary * (output.table_width or output.width), 1, batch


def _linears(part: Part) -> Iterator[Linear]:
    if isinstance(part, Linear):
        yield part
    for _, child in children(part):
        yield from _linears(child)


def _more_experts(layer: Layer | CrossLayer, batch: int) -> float:
    """Return the operations for experts beyond those that one token chooses."""
    part = layer.feed_forward
    if not isinstance(part, Experts):
        return 0.0
    router = part.router
    return EXPERT * (expected_experts(router.experts, router.active, batch) - router.active)
