"""An answer that another thread writes: iterate for its pieces, listen for them, or cancel it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from fathom.generation.reasoning import Piece
from fathom.generation.results import Measured, TokenLogprob, Usage
from fathom.planning.predict import Forecast

if TYPE_CHECKING:
    from fathom.generation.sequence import FinishReason, TokenSequence

logger = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[Piece | None], None]


class Clock:
    """When an answer was asked for, begun, and how far it came; seconds of a steady clock."""

    def __init__(self, load_seconds: float | None = None) -> None:
        self.asked = monotonic()
        self._load_seconds = load_seconds
        self._begun: float | None = None
        self._first: float | None = None
        self._last = self.asked
        self._read = 0
        self._written = 0
        self._peak: int | None = None

    def begin(self) -> None:
        """Note that reading the prompt began; that of a sequence taken up again counts no more."""
        self._begun = monotonic() if self._begun is None else self._begun

    def read(self, tokens: int, peak: int) -> None:
        """Note the first token, so many of the prompt computed, and what memory was held."""
        self._first = self._last = monotonic()
        self._read, self._peak = tokens, peak

    def write(self) -> None:
        """Note one more token."""
        self._last = monotonic()
        self._written += 1

    @property
    def waited(self) -> float | None:
        """Seconds before reading began, None while it has not."""
        return None if self._begun is None else self._begun - self.asked

    @property
    def measured(self) -> Measured:
        """The figures so far; rates are those of this answer among others."""
        reading = writing = 0.0
        if self._first is not None and self._begun is not None:
            reading, writing = self._first - self._begun, self._last - self._first
        return Measured(
            seconds_to_first_token=None if self._first is None else self._first - self.asked,
            prefill_tokens_per_second=self._read / reading if reading else None,
            decode_tokens_per_second=self._written / writing if writing else None,
            peak_memory_bytes=self._peak,
            load_seconds=self._load_seconds,
        )


class Handle:
    """An answer on its way, with the face of `Generation`, to be held by any thread.

    It is computed whether somebody iterates or not. Figures may be read at any time and tell
    what is so up to then.

    Attributes:
        error: what ended it before its time; raised to whoever iterates. None for a cancelled one.
        notes: what of the publisher's wishes was not applied, set by whoever knows.
        kernels: what computes it, set likewise.
    """

    def __init__(
        self,
        sequence: TokenSequence,
        clock: Clock,
        wake: Callable[[], None],
        forecast: Callable[[], Forecast] = Forecast,
    ) -> None:
        """Take the sequence that the engine fills; `wake` has it look whether anybody reads on."""
        self.error: Exception | None = None
        self.notes: tuple[str, ...] = ()
        self.kernels = ""
        self.sequence = sequence
        self.clock = clock
        self._wake = wake
        self._forecast = forecast
        self._predicted: Forecast | None = None
        self._changed = Condition()
        self._pieces: list[Piece] = []
        self._given = 0
        self._ended = False
        self._listeners: list[Listener] = []

    def __iter__(self) -> Handle:
        return self

    def __next__(self) -> Piece:
        """Return the next piece, waiting for it.

        Raises:
            FathomError: what ended the answer before its time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._given < len(self._pieces))
            if self._given < len(self._pieces):
                self._given += 1
                return self._pieces[self._given - 1]
        if self.error is not None:
            raise self.error
        raise StopIteration

    def cancel(self) -> None:
        """End the answer here: no piece comes after, and its memory is free within a step."""
        self.end()
        self._wake()

    close = cancel  # as a `Generation` spells it

    def add_listener(self, listener: Listener) -> None:
        """Call `listener` with every piece, those there already first, and with None at the end.

        It is called from the engine's thread, which waits for it: pass on and return. One that
        raises is not called again.
        """
        with self._changed:
            for piece in self._pieces:
                listener(piece)
            if self._ended:
                listener(None)
            else:
                self._listeners.append(listener)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; tell whether it has come."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, seconds)

    def deliver(self, piece: Piece) -> None:
        """Hand out a piece. For the engine."""
        with self._changed:
            if self._ended:
                return
            self._pieces.append(piece)
            self._tell(piece)

    def end(self, error: Exception | None = None) -> None:
        """Hand out that nothing more comes, and why. For the engine; only the first counts."""
        with self._changed:
            if self._ended:
                return
            self._ended, self.error = True, error
            self._tell(None)
            self._listeners.clear()

    def _tell(self, piece: Piece | None) -> None:
        self._changed.notify_all()
        for listener in tuple(self._listeners):
            try:
                listener(piece)
            except Exception:  # one reader's fault is not the others'
                logger.exception("a listener of an answer failed, and is not called again")
                self._listeners.remove(listener)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._ended

    @property
    def text(self) -> str:
        """The pieces so far, joined: the answer without the reasoning before it."""
        return self.sequence.text

    @property
    def reasoning(self) -> str:
        """What was thought so far, between the markers that the model has for that."""
        return self.sequence.reasoning

    @property
    def tokens(self) -> Sequence[int]:
        """The ids chosen so far, an ending token included."""
        return tuple(self.sequence.tokens)

    @property
    def finish_reason(self) -> FinishReason | None:
        """ "stop" or "length"; None before the end, and for ever if it was cancelled."""
        return self.sequence.finish_reason

    @property
    def stop(self) -> str | None:
        """The stop text that ended it; None where none did."""
        return self.sequence.stop

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self.sequence.usage

    @property
    def measured(self) -> Measured:
        """What it took so far; the time to the first token counts from when it was asked for."""
        return self.clock.measured

    @property
    def logprobs(self) -> Sequence[TokenLogprob] | None:
        """One entry per token so far; None unless the request asked for them."""
        found = self.sequence.logprobs
        return None if found is None else tuple(found)

    @property
    def seed(self) -> int:
        """The seed in use: with it the same request gives the same answer again."""
        return self.sequence.sampler.seed

    @property
    def predicted(self) -> Forecast:
        """What was forecast for it alone, worked out when it is first asked for."""
        if self._predicted is None:
            self._predicted = self._forecast()
        return self._predicted
