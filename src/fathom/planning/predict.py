"""What a model will need and how fast it will be, term by term, from the spec that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fathom.planning import costs
from fathom.planning.executing import Execution, PyTorch
from fathom.planning.ledger import Ledger, Pass
from fathom.planning.probe import Rates
from fathom.planning.speed import CHUNK, step_seconds, token_seconds
from fathom.planning.workspace import workspace
from fathom.spec.encoder import Encoder
from fathom.spec.model import TextModel

PREFILL_CHUNK = CHUNK

THREADS = 2  # whose buffers are counted; each more adds under a megabyte

# Where nothing was measured. An idle interpreter with torch and this library imported; then the
# code, threads and buffers of kernels, which appear as they are first used. Both as seen with
# torch 2.13 on Linux x86-64 (`planning.idle` measures them).
IDLE_BYTES = 238_000_000
CODE_BYTES = 32_000_000


@dataclass(frozen=True)
class Calibrated:
    """What a rate was by the formula alone, and the measurements that put it right."""

    raw: float
    ratio: float  # measured by predicted, their median
    runs: int


@dataclass(frozen=True)
class Growth:
    """Memory that is taken only as tokens come, up to `capacity` of them. Bytes.

    `least` is needed for a moment before the first one. `at_once` of the state is taken with the
    first token: by huge pages, one at least for each layer, which lie side by side.
    """

    capacity: int
    token_bytes: int  # of state, for each token
    row_bytes: int  # for each of a prompt's tokens, up to `most_rows` that go through together
    most_rows: int
    least: int
    at_once: int = 0

    def reached(self, prompt_tokens: int, tokens: int) -> int:
        """Return the bytes in use once there were so many tokens, with those of the prompt."""
        rows = min(prompt_tokens, self.most_rows) * self.row_bytes
        begun = min(self.at_once, self.capacity * self.token_bytes)
        return max(self.least, max(tokens * self.token_bytes, begun) + rows)

    def unreached(self, prompt_tokens: int, tokens: int) -> int:
        """Return the bytes that a shorter text than was planned for leaves alone."""
        return self.reached(self.capacity, self.capacity) - self.reached(prompt_tokens, tokens)


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
    workspace_at: str = ""  # what is computed when most workspace is held
    growth: Growth | None = None  # None where memory is taken at once

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
            growth=self.growth,
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
    growth: Growth | None = None
    calibrated_from: int = 0
    raw: Forecast | None = None

    def memory_after(self, prompt_tokens: int, tokens: int) -> int | None:
        """Return the most memory of a text that ended here: what it never reached is not taken."""
        if self.memory_bytes is None or self.growth is None:
            return self.memory_bytes
        return self.memory_bytes - self.growth.unreached(prompt_tokens, tokens)


def predict(
    spec: TextModel,
    *,
    dtype: str,
    context: int,
    batch: int = 1,
    rates: Rates | None = None,
    way: Execution | None = None,
) -> Prediction:
    """Predict memory, and with `rates` speed, of running a spec.

    `context` is in tokens per sequence; writing is as fast as in its middle, the mean of a
    sequence that grows from nothing, and reading is of a prompt that fills half of it. Rates
    count the tokens of all rows of the batch. `way` is how products are run, PyTorch's unless said.
    """
    way = way or PyTorch(dtype, rates)
    held = workspace_account(spec, dtype, context, batch)
    terms = {
        "weights": costs.weight_bytes(spec, way.storage()),
        "state": batch * costs.state_bytes(spec, dtype, context),
        "workspace": held.peak,
        "prepared": way.kept_bytes(spec, context, batch),
        "runtime": runtime_bytes(rates),
    }
    found = Prediction(dtype, context, batch, terms, workspace_at=held.moment)
    if rates is None:
        return found
    reading = 1 / sum(token_seconds(spec, dtype, context, rates, batch, way).values())
    found = replace(found, prefill_tokens_per_second=reading)
    if isinstance(spec, Encoder):  # it reads and does not write
        return found
    seconds = step_seconds(spec, dtype, context // 2, batch, rates, way)
    return replace(
        found,
        decode_tokens_per_second=batch / sum(seconds.values()),
        limit=max(seconds, key=lambda name: seconds[name]),
    )


def runtime_bytes(rates: Rates | None) -> int:
    """Return the process without a model: as measured on this machine, or else as seen on one."""
    if rates is None or rates.idle_bytes is None:
        return IDLE_BYTES + CODE_BYTES
    return rates.idle_bytes + (rates.code_bytes or CODE_BYTES)


def workspace_account(spec: TextModel, dtype: str, context: int, batch: int) -> Ledger:
    """Return the account of the largest pass: of a prompt's last chunk, or of one more token.

    A text that is read in both directions is read whole, in one pass.
    """
    whole = isinstance(spec, Encoder)
    chunk = context if whole else min(context, PREFILL_CHUNK)
    reading = Pass(batch, chunk, context, dtype, threads=THREADS)
    passes = (reading,) if whole else (reading, replace(reading, length=1))
    return max((workspace(spec, one) for one in passes), key=lambda one: one.peak)
