"""Prompts told back before what follows them, with how likely the model holds their tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from fathom.generation.request import Request
from fathom.serving.following import Emit
from fathom.serving.service import Echoed, Event

if TYPE_CHECKING:
    from fathom.generation.batching.engine import BatchEngine
    from fathom.generation.batching.handle import Handle
    from fathom.generation.reasoning import Piece
    from fathom.generation.results import TokenLogprob


class Echo:
    """Keeps back the events of an answer until the prompt before it is told."""

    def __init__(self, emit: Emit, ids: Sequence[int], text: str, count: int) -> None:
        """Take where events go, and a prompt that so many answers follow."""
        self._emit = emit
        self._ids = ids
        self._text = text
        self._count = count
        self._held: list[Event | Exception] | None = []
        self._lock = Lock()

    def emit(self, event: Event | Exception) -> None:
        """Pass on an event, now or behind the prompt."""
        with self._lock:
            if self._held is not None:
                self._held.append(event)
                return
        self._emit(event)

    def score(
        self, engine: BatchEngine, top: int | None, seconds: float | None
    ) -> Callable[[], None]:
        """Have the engine read the prompt token by token, and then tell it; return what cancels.

        Without `top`, which is how many likeliest tokens are listed, it is told at once.

        Raises:
            BusyError: when too much waits already.
        """
        if top is None or len(self._ids) == 1:
            self._tell(None if top is None else (None,))
            return lambda: None
        first, *rest = self._ids
        request = Request(
            (first,), max_tokens=len(rest), dictated=rest, end=frozenset(), logprobs=top
        )
        handle = engine.submit(request, deadline=seconds)

        def heard(piece: Piece | None) -> None:
            if piece is None:
                self._scored(handle)

        handle.add_listener(heard)
        return handle.cancel

    def _scored(self, handle: Handle) -> None:
        if handle.error is not None:
            self._emit(handle.error)
        elif handle.finish_reason is not None:
            self._tell((None, *(handle.logprobs or ())))

    def _tell(self, logprobs: Sequence[TokenLogprob | None] | None) -> None:
        """Tell the prompt, and what was kept back behind it."""
        for index in range(self._count):
            self._emit(Echoed(index, self._text, self._ids, logprobs))
        with self._lock:
            held, self._held = self._held or [], None
            for event in held:
                self._emit(event)
