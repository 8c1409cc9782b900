"""What a generation gives: text as it comes, then what it used and how long it took."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fathom.generation.reasoning import Piece
from fathom.planning.predict import Forecast

if TYPE_CHECKING:
    from fathom.generation.measuring import Meter
    from fathom.generation.sequence import FinishReason, TokenSequence


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written.

    An ending token counts as written, and so does reasoning. Reused tokens are those of the
    prompt that were known from the turn before and not computed again.
    """

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    reused_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one generation took; None where it is not known (yet).

    Attributes:
        seconds_to_first_token: from the first request for a piece to the first token chosen,
            with setting up the state.
        prefill_tokens_per_second: prompt tokens computed, not those known from before.
        decode_tokens_per_second: tokens after the first, without the time that the reader of
            the pieces took between them.
        peak_memory_bytes: the most that this process has held until now, weights included: on
            an accelerator in its own memory, else resident.
        load_seconds: what opening the model took.
    """

    seconds_to_first_token: float | None = None
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of the probability that the model itself gave it.

    The model itself: before penalties, temperature and narrowing. `text` is the token alone,
    with U+FFFD for a part of a character. `top` lists the likeliest tokens, best first.
    """

    token: int
    text: str
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


class Generation:
    """An answer on its way: iterate for pieces of text, then ask for the rest.

    A piece is text of the answer. Of a model that thinks first it may be empty, and has what was
    thought meanwhile as its `reasoning`.

    Work is done while iterating, none before. All figures may be read at any time and tell what
    is so up to then. Stopping early is fine: leave the loop, or call `close`.

    Attributes:
        predicted: what was forecast, set by whoever forecast it.
        notes: what of the publisher's wishes was not applied, a line each, set likewise.
        kernels: what computes it, and why nothing faster does; set likewise.
    """

    def __init__(
        self, sequence: TokenSequence, pieces: Generator[Piece, None, None], meter: Meter
    ) -> None:
        self._sequence = sequence
        self._pieces = pieces
        self._meter = meter
        self.predicted = Forecast()
        self.notes: tuple[str, ...] = ()
        self.kernels = ""

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        """End the answer here. What was read until now can be taken up by the next prompt."""
        self._pieces.close()

    @property
    def text(self) -> str:
        """The pieces so far, joined: the answer without the reasoning before it."""
        return self._sequence.text

    @property
    def reasoning(self) -> str:
        """What was thought so far, between the markers that the model has for that."""
        return self._sequence.reasoning

    @property
    def tokens(self) -> Sequence[int]:
        """The ids chosen so far, an ending token included."""
        return tuple(self._sequence.tokens)

    @property
    def finish_reason(self) -> FinishReason | None:
        """ "stop" or "length"; None before the end, and for ever if it was closed early."""
        return self._sequence.finish_reason

    @property
    def stop(self) -> str | None:
        """The stop text that ended it; None where none did."""
        return self._sequence.stop

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self._sequence.usage

    @property
    def measured(self) -> Measured:
        """What it took so far."""
        return self._meter.measured

    @property
    def logprobs(self) -> Sequence[TokenLogprob] | None:
        """One entry per token so far; None unless the request asked for them."""
        found = self._sequence.logprobs
        return None if found is None else tuple(found)

    @property
    def seed(self) -> int:
        """The seed in use: with it the same request gives the same answer again."""
        return self._sequence.sampler.seed
