"""The memory of a forward pass beside weights and state, at its largest moment.

A mirror of what `blocks/`, `ops/` and `models/` allocate, in their order: each function here
walks through one block and notes what is alive while it computes. `tests/planning/
test_workspace.py` holds it to the allocations that PyTorch's profiler records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fathom.planning.costs import EXACT_BYTES
from fathom.planning.ledger import Ledger, Pass
from fathom.planning.mixing import mixer, norm
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import CrossLayer, EncoderDecoder, Stack
from fathom.spec.experts import ClampedSwish, Experts
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.heads import MaskedHead
from fathom.spec.model import TextModel

INDEX_BYTES = 8  # of a token's id or an expert's number
UNEVEN = 2.0  # tokens of the busiest expert, by the mean: how routers spread ordinary text


def workspace(spec: TextModel, passed: Pass) -> Ledger:
    """Return the account of one pass, of a model that reads and writes its larger half."""
    if isinstance(spec, EncoderDecoder):
        reading = replace(passed, keys=passed.keys, kept=False)
        source = passed.batch * passed.keys * spec.width * passed.size
        accounts = (
            _stack(spec.encoder, replace(reading, length=passed.keys), None),
            _stack(spec.decoder, replace(passed, length=1), spec.output, held=source),
        )
        return max(accounts, key=lambda account: account.peak)
    if isinstance(spec, Encoder):
        return _stack(spec, replace(passed, kept=False), None)
    return _stack(spec, passed, spec.output)


def _stack(
    spec: Decoder | Encoder | Stack, passed: Pass, output: Output | None, held: int = 0
) -> Ledger:
    """Account for an embedding, layers, a norm and what is made of the last hidden states."""
    ledger = Ledger()
    ledger.hold(held, "the text that was read")
    stream = passed.tokens * spec.embedding.width * passed.size
    _embedding(ledger, spec.embedding, passed)
    distances = getattr(spec, "distances", None)
    if distances is not None:
        pairs = passed.batch * passed.length * passed.keys
        ledger.at("distances between tokens", pairs * 8 * INDEX_BYTES)
        ledger.hold(pairs * distances.heads * passed.size, "scores of distances")
    shared = distances.heads if distances is not None else 0
    exact = False
    for layer in dict.fromkeys(spec.layers):  # layers that are alike need the same
        exact = exact or layer.mixer_residual.exact
        _layer(ledger, layer, replace(passed), exact, shared)
    if exact:
        stream = stream // passed.size * EXACT_BYTES
    with ledger.scope():
        ledger.hold(stream, "last hidden states")
        if spec.norm is not None:
            ledger.at("last norm", norm(spec.norm, passed.tokens, passed, exact))
            ledger.hold(stream, "last norm")
        _scores(ledger, spec, output, passed)
    return ledger


def _embedding(ledger: Ledger, part: Embedding, passed: Pass) -> None:
    """Every addition makes the stream anew while the last one is still alive."""
    stream = passed.tokens * part.width * passed.size
    with ledger.scope():
        ledger.hold(passed.tokens * INDEX_BYTES, "token ids")
        additions = (part.positions, part.token_types)
        looked_up = sum(one is not None for one in additions) > 0
        ledger.at("embedding", stream * (3 if looked_up else 1 + (part.scale != 1.0)))
        if part.norm is not None:
            ledger.at("norm of the embedding", stream + norm(part.norm, passed.tokens, passed))


def _layer(
    ledger: Ledger, layer: Layer | CrossLayer, passed: Pass, exact: bool, shared: int
) -> None:
    """Account for one layer; the stream that came in stays alive with its caller."""
    part = passed.tokens * layer.mixer.width * passed.size
    stream = passed.tokens * layer.mixer.width * EXACT_BYTES if exact else part
    with ledger.scope():
        ledger.hold(stream, "stream")
        first = layer.mixer_residual
        _enter(ledger, first, passed, stream, exact)
        mixer(ledger, layer.mixer, passed, shared)
        if isinstance(layer, CrossLayer):
            ledger.hold(part, "mixed")
            _join(ledger, first, passed, stream, exact)
            ledger.hold(stream, "stream")
            _enter(ledger, layer.cross_residual, passed, stream, exact)
            _crossing(ledger, layer, passed)
            first = layer.cross_residual
        ledger.hold(part, "mixed")
        _join(ledger, first, passed, stream, exact)
        if layer.feed_forward is None:
            return
        if not (isinstance(layer, Layer) and layer.parallel):
            ledger.hold(stream, "stream")
        second = layer.feed_forward_residual
        if second.before is not None:
            _enter(ledger, second, passed, stream, exact)
        _feed_forward(ledger, layer.feed_forward, passed)
        ledger.hold(part, "fed")
        _join(ledger, second, passed, stream, exact)


def _enter(ledger: Ledger, residual: Residual, passed: Pass, stream: int, exact: bool) -> None:
    """Hold what enters a part, where that is not the stream itself."""
    if residual.before is not None:
        ledger.at("norm", norm(residual.before, passed.tokens, passed, exact))
        ledger.hold(stream, "norm")


def _join(ledger: Ledger, residual: Residual, passed: Pass, stream: int, exact: bool) -> None:
    """Note the moments of joining a part to the stream; the result is the caller's to hold."""
    if residual.after is not None:
        ledger.at("norm after a part", norm(residual.after, passed.tokens, passed))
    scaled = 0 if residual.scale == 1.0 else stream
    ledger.at("addition to the stream", stream + scaled)
    if residual.closing is not None:
        closing = norm(residual.closing, passed.tokens, passed, exact)
        ledger.at("norm of the stream", stream + closing)


def _crossing(ledger: Ledger, layer: CrossLayer, passed: Pass) -> None:
    """Keys and values of the text that was read are made at the first step, and copied."""
    part = layer.cross
    inner = part.heads * part.head_width
    read = 2 * passed.batch * passed.keys * inner * passed.size
    asked = passed.tokens * inner * passed.size
    ledger.at("keys of the text that was read", read + 3 * asked)


def _feed_forward(ledger: Ledger, part: GatedMlp | Mlp | Experts, passed: Pass) -> None:
    match part:
        case GatedMlp() | Mlp():
            ledger.at("inner activations", _inner(part, passed.tokens, passed.size))
        case Experts():
            _experts(ledger, part, passed)


# Arrays of inner width alive at once: what comes in, what an activation works with, its result.
_ACTIVATED: Mapping[str, int] = {"gelu_quick": 4, "relu_squared": 3}


def _inner(part: GatedMlp | Mlp, tokens: int, size: int) -> int:
    """Return the bytes alive inside a feed-forward, its result included."""
    most = _ACTIVATED.get(part.activation, 2)
    if isinstance(part, GatedMlp):
        most = max(most, 3)
    inner = tokens * part.inner * size
    result = tokens * part.width * size
    return max(most * inner, inner + result)


def _experts(ledger: Ledger, part: Experts, passed: Pass) -> None:
    """Tokens of one expert after the other, added up in float32."""
    tokens, router = passed.tokens, part.router
    chosen = tokens * router.active
    wide = tokens * part.width
    with ledger.scope():
        scored = tokens * router.experts * EXACT_BYTES
        ledger.at("scores of experts", wide * passed.copied + 4 * scored)
        ledger.hold(chosen * (INDEX_BYTES + EXACT_BYTES), "chosen experts")
        with ledger.scope():
            ledger.hold(wide * EXACT_BYTES, "sum over experts")
            ledger.at("order of experts", 4 * chosen * INDEX_BYTES)
            ledger.hold(chosen * INDEX_BYTES, "order of experts")
            _one_expert(ledger, part, passed)
            ledger.at("sum over experts", wide * (0 if passed.size == EXACT_BYTES else passed.size))
        ledger.hold(wide * passed.size, "sum over experts")
        if part.shared is not None:
            ledger.at("shared expert", _inner(part.shared, tokens, passed.size))
            ledger.at("shared expert", 2 * wide * passed.size + wide * passed.copied)


def _one_expert(ledger: Ledger, part: Experts, passed: Pass) -> None:
    mean = passed.tokens * part.router.active / part.router.experts
    tokens = min(passed.tokens, round(UNEVEN * mean) or 1)
    most = 6 if isinstance(part.activation, ClampedSwish) else 3
    inner, wide = tokens * part.inner * passed.size, tokens * part.width
    entering = wide * passed.size * (2 if part.weighted == "input" else 1)
    leaving = wide * (passed.size + 2 * EXACT_BYTES)
    ledger.at("inner activations of an expert", entering + max(most * inner, inner + leaving))


def _scores(
    ledger: Ledger, spec: Decoder | Encoder | Stack, output: Output | None, passed: Pass
) -> None:
    """Account for scores: of the last token of each row, or what a head says of every token."""
    if output is not None:
        row = passed.batch * output.vocabulary
        worked = 1 + (output.scale != 1.0) + 2 * (output.soft_cap is not None)
        ledger.at("scores of the vocabulary", row * (worked * passed.size + passed.copied))
    head = getattr(spec, "head", None)
    if isinstance(head, MaskedHead):
        every = passed.tokens * head.output.vocabulary * passed.size
        ledger.at("scores of the vocabulary", every)
