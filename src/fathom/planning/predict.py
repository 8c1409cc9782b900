"""What a model will need and how fast it will be, term by term, from the spec that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fathom.planning import costs
from fathom.planning.costs import BYTES, EXACT_BYTES, computed_in
from fathom.planning.probe import Rates
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.experts import Experts
from fathom.spec.model import Model
from fathom.spec.parts import Linear, leaves

PREFILL_CHUNK = 512  # tokens that one pass reads of a long prompt

# An idle interpreter with torch imported, its allocator and thread pool: measured, not modelled.
RUNTIME_BYTES = 230 * 2**20


@dataclass(frozen=True)
class Calibrated:
    """What a rate was by the formula alone, and the measurements that put it right."""

    raw: float
    ratio: float  # measured by predicted, their median
    runs: int


@dataclass(frozen=True)
class Prediction:
    """Bytes, and tokens per second, for one model at one context and batch.

    `terms` name what the bytes are for; they add up to `total_bytes`. Rates are None without
    measured rates of the machine to divide by. `calibrated` names the rates that measurements
    of this machine have put right (`planning.calibration`), by the name of the field.
    """

    dtype: str
    context: int
    batch: int
    terms: Mapping[str, int]
    decode_tokens_per_second: float | None = None
    prefill_tokens_per_second: float | None = None
    limit: str | None = None  # what bounds decoding, in words
    calibrated: Mapping[str, Calibrated] = field(default_factory=dict)

    @property
    def calibrated_from(self) -> int:
        """How many measurements stand behind the rates; 0 where the formula stands alone."""
        return min((one.runs for one in self.calibrated.values()), default=0)

    @property
    def raw(self) -> Prediction:
        """The prediction as the formula gives it."""
        rates = {rate: one.raw for rate, one in self.calibrated.items()}
        return replace(self, calibrated={}, **rates)  # type: ignore[arg-type]  # rates alone

    @property
    def weights_bytes(self) -> int:
        return self.terms["weights"]

    @property
    def state_bytes(self) -> int:
        return self.terms["state"]

    @property
    def total_bytes(self) -> int:
        return sum(self.terms.values())

    def seconds_to_first_token(self, prompt_tokens: int) -> float | None:
        """Return the time to read a prompt: at the rate of long ones, but never under one step."""
        reading, writing = self.prefill_tokens_per_second, self.decode_tokens_per_second
        if reading is None or writing is None:
            return None
        return max(prompt_tokens / reading, 1 / writing)

    def forecast(self, prompt_tokens: int) -> Forecast:
        """Return the figures that a generation will be measured by, before it begins."""
        seconds = self.seconds_to_first_token(prompt_tokens)
        return Forecast(
            seconds_to_first_token=seconds,
            prefill_tokens_per_second=None if seconds is None else prompt_tokens / seconds,
            decode_tokens_per_second=self.decode_tokens_per_second,
            memory_bytes=self.total_bytes,
            memory_terms=self.terms,
            calibrated_from=self.calibrated_from,
            raw=self.raw.forecast(prompt_tokens) if self.calibrated else None,
        )


@dataclass(frozen=True)
class Forecast:
    """What one generation is expected to take, figure by figure as it will be measured.

    None where nobody forecast it. `raw` is what the formula alone said where `calibrated_from`
    measurements of this machine have put it right.
    """

    seconds_to_first_token: float | None = None
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    memory_bytes: int | None = None
    memory_terms: Mapping[str, int] = field(default_factory=dict)
    calibrated_from: int = 0
    raw: Forecast | None = None


def predict(
    spec: Model, *, dtype: str, context: int, batch: int = 1, rates: Rates | None = None
) -> Prediction:
    """Predict memory, and with `rates` speed, of running a spec.

    `context` is in tokens per sequence; speed is for a sequence half as long, the mean of one
    that grows from nothing.
    """
    terms = {
        "weights": costs.weight_bytes(spec, computed_in(dtype)),
        "state": batch * costs.state_bytes(spec, dtype, context),
        "workspace": workspace_bytes(spec, dtype, min(context, PREFILL_CHUNK) * batch),
        "runtime": RUNTIME_BYTES,
    }
    if rates is None:
        return Prediction(dtype, context, batch, terms)
    prefill = _prefill_rate(spec, dtype, rates)
    if isinstance(spec, Encoder):  # it reads and does not write
        return Prediction(dtype, context, batch, terms, prefill_tokens_per_second=prefill)
    decode, limit = _decode_rate(spec, dtype, context // 2, rates)
    return Prediction(dtype, context, batch, terms, decode, prefill, limit)


def workspace_bytes(spec: Model, dtype: str, tokens: int) -> int:
    """Return the bytes alive at the widest point of a pass over `tokens`, the stream included.

    The widest point is inside a feed-forward (its inner activations) or at the output.
    """
    widest = max(leaf.outputs for _, leaf in leaves(spec.layers) if isinstance(leaf, Linear))
    stream = 3 * tokens * spec.width * EXACT_BYTES
    inner = 3 * tokens * widest * BYTES[dtype]
    return stream + max(inner, spec.vocabulary * (BYTES[dtype] + EXACT_BYTES))


def _decode_rate(
    spec: Decoder | EncoderDecoder, dtype: str, context: int, rates: Rates
) -> tuple[float, str]:
    """Return tokens per second of one sequence, and what bounds them.

    Every weight is read once per token, of experts only the chosen ones, each matrix at the rate
    of its size; the keys and values of the context are read too; every operation costs its call.
    """
    writing = (spec.decoder, spec.output) if isinstance(spec, EncoderDecoder) else spec
    sizes = list(costs.matrices(writing))
    weights = sum(size * BYTES[dtype] / rates.weights_per_second(dtype, size) for size in sizes)
    state = costs.state_bytes(spec, dtype, context) / rates.memory_read
    layers = spec.decoder.layers if isinstance(spec, EncoderDecoder) else spec.layers
    operations = OPERATIONS_PER_LAYER * len(layers)
    operations += OPERATIONS_PER_EXPERT * _experts_passed(spec)
    calls = operations * rates.operation_seconds
    terms = {
        "reading the weights": weights,
        "reading the state": state,
        "calling the operations": calls,
    }
    return 1 / sum(terms.values()), max(terms, key=lambda name: terms[name])


# Norms, rotations, copies into the state, attention, activation, additions: counted in the blocks.
OPERATIONS_PER_LAYER = 40
# Looking up its tokens and weights, three maps, activation, weighing, adding: `ops/experts.py`.
OPERATIONS_PER_EXPERT = 12


def _experts_passed(spec: Model) -> int:
    """Return how many routed experts a token passes on its way through all layers."""
    parts = (layer.feed_forward for layer in spec.layers)
    return sum(part.router.active for part in parts if isinstance(part, Experts))


def _prefill_rate(spec: Model, dtype: str, rates: Rates) -> float:
    """Return tokens per second of reading a long prompt."""
    operations = costs.map_operations(spec.layers)
    scores = costs.mixing_operations(spec.layers, PREFILL_CHUNK // 2)
    return rates.matmul[dtype] / (operations + scores)
