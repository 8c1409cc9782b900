"""The engine for many requests: what any thread may ask of it.

submit ─ check ─► queue ─► scheduler ─ works ─► executor ─ scores ─► TokenSequence ─► handle
  any thread                  ▲                                         │ token        any thread
                              └─────────── the worker's thread ─────────┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count as counting
from time import monotonic
from typing import TYPE_CHECKING

from fathom.errors import DoesNotFitError, RequestError
from fathom.generation.batching import prefixes
from fathom.generation.batching.figures import Figures
from fathom.generation.batching.handle import Clock, Handle
from fathom.generation.batching.pace import Law
from fathom.generation.batching.progress import FOREVER
from fathom.generation.batching.track import Track
from fathom.generation.batching.worker import Bounds, Seat, Worker
from fathom.generation.generate import room
from fathom.generation.sequence import TokenSequence
from fathom.planning.predict import Forecast

if TYPE_CHECKING:
    from fathom.generation.batching.executors import Executor
    from fathom.generation.coder import TextCoder
    from fathom.generation.request import Request

__all__ = ["BatchEngine", "Bounds", "Figures", "Handle"]


class BatchEngine:
    """Runs many requests on one decoder, from any thread.

    A request waits in a bounded queue until its state fits, then all that run are computed
    together, a step after the other. Whatever runs beside it, an answer is the same. What ended
    is kept as long as there is room: a prompt that begins like an earlier one, of whomever, is
    read only from where they part.
    """

    def __init__(
        self,
        executor: Executor,
        coder: TextCoder,
        bounds: Bounds,
        *,
        context: int | None = None,
        load_seconds: float | None = None,
        forecast: Callable[[int, int], Forecast] | None = None,
    ) -> None:
        """Take a loaded model; `TextModel.batching` does.

        Args:
            executor: what computes, and where states lie.
            bounds: how much may be held.
            context: tokens of prompt and answer together; the publisher's unless given.
            load_seconds: what opening the model took, for `Handle.measured`.
            forecast: what an answer is expected to take, by the tokens of its prompt and of its
                whole state, for `Handle.predicted`.
        """
        self.executor = executor
        self.coder = coder
        self.bounds = bounds
        self.spec = executor.forward.spec
        self.context = self.spec.context if context is None else context
        self.load_seconds = load_seconds
        self._forecast = forecast
        self._order = counting()
        self._worker = Worker(executor, bounds)

    def expect(self, law: Law) -> None:
        """Take note of what steps are predicted to take, until some were taken.

        It tells how long the first of them may run before they are taken for ones that hang.
        """
        self._worker.expect(law)

    def require_place(self, count: int = 1) -> None:
        """Refuse `count` requests that there is no place for, before anything of them is read.

        Raises:
            BusyError: as `submit`.
        """
        self._worker.require_place(count, count)

    def submit(
        self, request: Request, *, deadline: float | None = None, owner: str = "", salt: str = ""
    ) -> Handle:
        """Queue a request and return its answer, which is computed from now on.

        Args:
            deadline: seconds from now after which the answer is given up with `DeadlineError`.
            owner: whoever asks; of several, those with little running go first.
            salt: requests with different ones share nothing of what was computed.

        Raises:
            ContextLengthError: when prompt and answer do not fit in the context.
            RequestError: when the model does not know a token that the request names, or for
                beams, which are not followed here.
            DoesNotFitError: for a request whose state can never fit the memory.
            BusyError: when the queue is full, would have it wait for too long, or the engine is
                closing, with `retry_after`.
            UnsupportedTaskError: for a prompt that the model cannot take.
        """
        return self.submit_several(request, 1, deadline=deadline, owner=owner, salt=salt)[0]

    def submit_several(
        self,
        request: Request,
        count: int,
        *,
        deadline: float | None = None,
        owner: str = "",
        salt: str = "",
    ) -> list[Handle]:
        """Queue a request for several answers, all or none; arguments and errors as `submit`.

        They read the prompt once. Their seeds follow one another where the request states one.
        """
        until = FOREVER if deadline is None else monotonic() + deadline
        total = len(request.prompt) + room(request, self.context)
        self._require_possible(request, total)
        self._worker.require_place(count, total)  # before any work
        seats = [self._seat(_seeded(request, index), until, owner, salt) for index in range(count)]
        self._worker.add(seats)
        return [seat.handle for seat in seats]

    def figures(self) -> Figures:
        """Return what the engine is doing. Takes no lock, so that it answers whatever happens."""
        return self._worker.figures()

    def close(self, drain: bool = True, *, within: float | None = None) -> None:
        """Take nothing more; finish what is there, or without `drain` end it with an error.

        Waits for the worker. What is not whole `within` so many seconds is ended too.
        """
        self._worker.close(within if drain else 0.0)

    def _require_possible(self, request: Request, total: int) -> None:
        """Refuse what can never be answered."""
        request.check_vocabulary(self.spec.vocabulary)
        if request.beams.beams > 1:
            raise RequestError("requests side by side follow a single way of writing; give beams=1")
        if not self.executor.memory.fits(total):
            raise DoesNotFitError(
                f"the state of {total:,} tokens never fits in the {self.bounds.memory:,} bytes"
                " that there are for states; shorten the prompt or ask for fewer tokens"
            )

    def _seat(self, request: Request, until: float, owner: str, salt: str) -> Seat:
        prompt = request.prompt
        sequence = TokenSequence(
            request,
            self.coder,
            max_tokens=room(request, self.context),
            vocabulary=self.spec.vocabulary,
        )
        total = len(prompt) + sequence.max_tokens
        track = Track(
            next(self._order), list(prompt), total, root=prefixes.root(salt.encode()), owner=owner
        )
        self.executor.prepare(track, request)
        forecast: Callable[[], Forecast] = Forecast
        if self._forecast is not None:
            forecast = partial(self._forecast, len(prompt), total)
        clock = Clock(self.load_seconds)
        return Seat(Handle(sequence, clock, self._worker.wake, forecast), track, until)


def _seeded(request: Request, index: int) -> Request:
    """Return the request with the seed of one of several answers."""
    seed = request.sampling.seed
    if seed is None or index == 0:
        return request
    return replace(request, sampling=replace(request.sampling, seed=(seed + index) % 2**63))
