"""How long a model takes on a machine whose rates were measured, by what the time is spent on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fathom.planning import costs
from fathom.planning.costs import BYTES, EXACT_BYTES
from fathom.planning.executing import Execution, PyTorch
from fathom.planning.issued import EXPERT, ONCE, issued, token_by_token
from fathom.planning.probe import Rates
from fathom.planning.traffic import traffic
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Mixer
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import CrossLayer, EncoderDecoder
from fathom.spec.experts import Experts
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.model import TextModel
from fathom.spec.parts import Linear, Part, children
from fathom.spec.positions import Alibi, RoundedAlibi
from fathom.spec.writing import PIECE

WEIGHTS, STATE, CALLS = "reading the weights", "reading the state", "calling the operations"
MAPS, SCORES, NUMBERS = "maps", "scores", "norms, activations and sums"
CHUNK = PIECE
STEPPED = 10  # times that a step reads or writes what a recurrence keeps, plain operations each
# Float32 numbers read and written per score, new pages for each array among them: where no fused
# kernel serves, and where every score is lowered by its distance.
PLAIN_SCORES, LATENT_SCORES, PENALISED = 32, 8, 14


def step_seconds(
    spec: Decoder | EncoderDecoder,
    dtype: str,
    context: int,
    batch: int,
    rates: Rates,
    way: Execution | None = None,
) -> Mapping[str, float]:
    """Return the seconds that one more token of each row takes, by what they are spent on.

    Every matrix is read once for all rows, of experts those that any row chose; but never faster
    than its arithmetic is done. The keys and values of each row's `context` are read, and every
    operation costs its call. `way` is how products are run, PyTorch's unless said.
    """
    writing = (spec.decoder, spec.output) if isinstance(spec, EncoderDecoder) else (spec,)
    layers = spec.decoder.layers if isinstance(spec, EncoderDecoder) else spec.layers
    products = products_seconds(writing, batch, way or PyTorch(dtype, rates))
    calls = ONCE + sum(issued(layer, context) + _more_experts(layer, batch) for layer in layers)
    return {
        WEIGHTS: products,
        STATE: batch * sum(_state_seconds(layer, context, dtype, rates) for layer in layers),
        CALLS: calls * rates.operation_seconds,
    }


def token_seconds(
    spec: TextModel,
    dtype: str,
    context: int,
    rates: Rates,
    batch: int = 1,
    way: Execution | None = None,
) -> Mapping[str, float]:
    """Return the seconds per token of reading prompts that fill half of the context.

    Read piece by piece, of `batch` rows together; a text that is read in both directions is read
    whole, and fills all of it. Of a model that writes after it has read, only the half that
    reads takes part.
    """
    whole = isinstance(spec, Encoder | EncoderDecoder)  # every token sees all others
    layers = spec.encoder.layers if isinstance(spec, EncoderDecoder) else spec.layers
    prompt = context if whole else max(1, context // 2)
    piece = prompt if whole else min(prompt, CHUNK)
    tokens, seen = batch * piece, prompt if whole else max(1, prompt // 2)
    parts: tuple[Part, ...] = (spec,) if isinstance(spec, Encoder) else layers
    calls = ONCE + sum(
        issued(layer, seen) + _more_experts(layer, tokens) + token_by_token(layer, piece)
        for layer in layers
    )
    moved = rates.moved.get(dtype, rates.memory_read)
    return {
        MAPS: products_seconds(parts, tokens, way or PyTorch(dtype, rates)) / tokens,
        SCORES: sum(_score_seconds(layer.mixer, seen, dtype, rates) for layer in layers),
        NUMBERS: sum(traffic(layer, dtype) for layer in layers) / moved,
        CALLS: calls * rates.operation_seconds / tokens,
    }


def expected_experts(experts: int, active: int, batch: int) -> float:
    """Return how many of a layer's experts `batch` tokens are expected to choose between them.

    ``E · (1 - (1 - k/E) ** B)``, for tokens that choose independently and evenly.
    """
    return experts * (1 - (1 - active / experts) ** batch)


def products_seconds(parts: Iterable[Part], rows: int, way: Execution) -> float:
    """Return the time of all products of rows with the matrices of some parts."""
    times: defaultdict[Product, float] = defaultdict(float)
    for part in parts:
        for product, count in _products(part, rows):
            times[product] += count
    return sum(
        count * way.product_seconds(one.inputs, one.outputs, one.rows)
        for one, count in times.items()
    )


def _score_seconds(mixer: Mixer, seen: int, dtype: str, rates: Rates) -> float:
    """Return the time per token of scores over those in reach and of sums of their values."""
    if not isinstance(mixer, Attention | LatentAttention):
        return 0.0  # what recurrences do is all in the numbers that they move
    fused = mixer.operations(seen) / rates.attention.get(dtype, rates.fastest(dtype))
    scores = mixer.heads * seen * EXACT_BYTES / rates.moved.get(dtype, rates.memory_read)
    if isinstance(mixer, Attention) and isinstance(mixer.positions, Alibi | RoundedAlibi):
        fused += PENALISED * scores
    if _fused(mixer):
        return fused
    return fused + (PLAIN_SCORES if isinstance(mixer, Attention) else LATENT_SCORES) * scores


def _state_seconds(layer: Layer | CrossLayer, context: int, dtype: str, rates: Rates) -> float:
    """Return the time in which one token of a row reads what a layer keeps of its sequence.

    Fused attention of one query is bound by its kernel, any other way by the copies that it makes:
    of keys and values for every head. What a recurrence keeps is decayed, added to and read from.
    """
    mixer = layer.mixer
    kept = costs.state_bytes(layer, dtype, context)
    reading, moved = kept / rates.memory_read, rates.moved.get(dtype, rates.memory_read)
    if not isinstance(mixer, Attention | LatentAttention):
        return STEPPED * kept / moved
    if isinstance(mixer, Attention) and getattr(mixer.reach, "width", context) < context:
        reading += 2 * kept / moved  # a window that is full is joined to the new key
    if _fused(mixer):
        slow = rates.attention_step.get(dtype)
        arithmetic = costs.mixing_operations(layer, context)
        return reading if slow is None else max(reading, arithmetic / slow)
    return reading + _copied(mixer, context, dtype) / moved


def _fused(mixer: Attention | LatentAttention) -> bool:
    """Whether PyTorch's fused kernel computes it."""
    return isinstance(mixer, Attention) and mixer.soft_cap is None and not mixer.sinks


def _copied(mixer: Attention | LatentAttention, context: int, dtype: str) -> int:
    """Return the bytes read and written to repeat keys and values for every head.

    PyTorch's plain kernel, which latents take, scales what it has repeated as well.
    """
    if isinstance(mixer, LatentAttention):
        width = 2 * mixer.latent + mixer.positions.width
        return context * mixer.heads * width * 4 * EXACT_BYTES
    seen = mixer.operations(context) // (4 * mixer.heads * mixer.head_width)
    exact = 0 if BYTES[dtype] == EXACT_BYTES else BYTES[dtype] + EXACT_BYTES
    return 2 * seen * mixer.heads * mixer.head_width * (2 * BYTES[dtype] + exact)


@dataclass(frozen=True, slots=True)
class Product:
    """Rows times a matrix."""

    inputs: int
    outputs: int
    rows: float


def _products(part: Part, rows: int) -> Iterator[tuple[Product, float]]:
    """Yield each product of so many rows with a part and its times; of experts the chosen ones.

    A stack with a map per head is one matrix, and a tied output is a matrix like any other.
    """
    for leaf in _linears(part):
        if leaf.active is None or leaf.stack is None:
            yield Product(leaf.inputs, leaf.outputs * leaf.passed, rows), 1
        else:
            chosen = expected_experts(leaf.stack, leaf.active, rows)
            yield Product(leaf.inputs, leaf.outputs, rows * leaf.active / chosen), chosen
    for output in costs.tied_outputs(part):
        yield Product(output.table_width or output.width, output.vocabulary, rows), 1


def _linears(part: Part) -> Iterator[Linear]:
    if isinstance(part, Linear):
        yield part
    for _, child in children(part):
        yield from _linears(child)


def _more_experts(layer: Layer | CrossLayer, rows: int) -> float:
    """Return the operations for experts beyond those that one token chooses."""
    part = layer.feed_forward
    if not isinstance(part, Experts):
        return 0.0
    router = part.router
    return EXPERT * (expected_experts(router.experts, router.active, rows) - router.active)
