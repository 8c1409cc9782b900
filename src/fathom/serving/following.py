"""An answer of an engine as events of the server, told one by one as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fathom.generation.reasoning import Piece
from fathom.generation.results import Measured, TokenLogprob, Usage
from fathom.planning.predict import Forecast
from fathom.serving.service import Called, Ended, EndReason, Event, Written
from fathom.serving.tool_calls.reader import CallReader, Part

if TYPE_CHECKING:
    from fathom.generation.sequence import FinishReason

Emit: TypeAlias = Callable[[Event | Exception], None]


class Writing(Protocol):
    """What an answer on its way tells: a `Generation` or a batch's `Handle`."""

    @property
    def text(self) -> str: ...

    @property
    def finish_reason(self) -> FinishReason | None: ...

    @property
    def stop(self) -> str | None: ...

    @property
    def usage(self) -> Usage: ...

    @property
    def measured(self) -> Measured: ...

    @property
    def logprobs(self) -> Sequence[TokenLogprob] | None: ...


class Follower:
    """Turns the pieces of one answer into events."""

    def __init__(
        self,
        index: int,
        writing: Writing,
        emit: Emit,
        expected: Callable[[], Forecast],
        reader: CallReader | None = None,
    ) -> None:
        """Take an answer, where its events go, and what tells what was expected of it.

        Where tools may be called, `reader` tells calls from text.
        """
        self._index = index
        self._writing = writing
        self._emit = emit
        self._expected = expected
        self._reader = reader
        self._told = 0  # of its log-probabilities

    def piece(self, piece: Piece) -> None:
        """Tell what was written, with the tokens that it came of."""
        if self._reader is None:
            self._emit(Written(self._index, str(piece), piece.reasoning, self._logprobs()))
            return
        if piece.reasoning:
            self._emit(Written(self._index, reasoning=piece.reasoning))
        self._tell(self._reader.push(str(piece)))

    def end(self, error: Exception | None = None) -> None:
        """Tell that it ended, or what ended it."""
        if error is not None:
            self._emit(error)
            return
        if self._reader is not None:
            self._tell(self._reader.flush())
        rest = self._logprobs()
        if rest:  # of tokens without a text of their own, such as the one that ended it
            self._emit(Written(self._index, logprobs=rest))
        one = self._writing
        reason: EndReason = one.finish_reason or "stop"
        if self._reader is not None and self._reader.calls and reason == "stop":
            reason = "tool_calls"
        notes = () if self._reader is None else tuple(self._reader.notes)
        told = self._index, reason, one.usage, one.measured, self._expected()
        self._emit(Ended(*told, one.stop, notes))

    def _tell(self, parts: Sequence[Part]) -> None:
        """Tell text and calls in the order in which they were written."""
        for part in parts:
            if isinstance(part, str):
                self._emit(Written(self._index, part, logprobs=self._logprobs()))
            else:
                self._emit(Called(self._index, part))

    def _logprobs(self) -> tuple[TokenLogprob, ...]:
        found = self._writing.logprobs
        if found is None:
            return ()
        new = tuple(found[self._told :])
        self._told += len(new)
        return new
