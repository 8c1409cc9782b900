"""The engine for many requests: one worker thread, every sequence a step further in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from threading import Condition, Thread
from time import monotonic
from typing import TYPE_CHECKING

from fathom.errors import (
    AnswerLostError,
    BusyError,
    ContextLengthError,
    DeadlineError,
    FathomError,
    RequestError,
)
from fathom.generation.batching.handle import Clock, Handle
from fathom.generation.measuring import peak_memory
from fathom.generation.sequence import TokenSequence
from fathom.planning.predict import Forecast

if TYPE_CHECKING:
    from fathom.generation.coder import TextCoder
    from fathom.generation.forward import Course, Forward
    from fathom.generation.request import Request


@dataclass(frozen=True)
class Bounds:
    """How much an engine may hold.

    Attributes:
        memory: bytes for the state of all sequences, those kept for later ones included.
        most_sequences: how many are computed together.
        queue_requests: how many requests may wait.
        queue_tokens: how many tokens may wait, prompts and the longest answers together.
    """

    memory: int
    most_sequences: int = 16
    queue_requests: int = 64
    queue_tokens: int = 2**18


@dataclass(frozen=True, slots=True)
class Figures:
    """What an engine is doing, and what it did since it was made.

    Attributes:
        waiting: requests in the queue, preempted ones among them.
        running: requests with state in memory.
        waiting_tokens: tokens of those that wait, their answers at the longest included.
        pages_free: pages that hold nothing of a running request; those known from before count.
        pages_total: all pages.
        reused_tokens: prompt tokens that were known from before and not computed again.
        preemptions: how often a running request was put back for want of pages.
        finished: answers that came to their end.
        failed: answers that an error ended.
        cancelled: answers that were given up, by whoever asked or by their deadline.
        steps: calls of the model.
        tokens_per_second: tokens written lately, of all requests together.
        step_seconds: how long the step at hand has run; 0 between steps. One that does not end
            is a worker that hangs.
    """

    waiting: int
    running: int
    waiting_tokens: int
    pages_free: int
    pages_total: int
    reused_tokens: int
    preemptions: int
    finished: int
    failed: int
    cancelled: int
    steps: int
    tokens_per_second: float
    step_seconds: float


class BatchEngine:
    """Runs many requests on one decoder, from any thread.

    A request waits in a bounded queue until its state fits, then all that run are computed
    together, a step after the other. Whatever runs beside it, an answer is the same.
    """

    def __init__(
        self,
        forward: Forward,
        coder: TextCoder,
        bounds: Bounds,
        *,
        context: int | None = None,
        load_seconds: float | None = None,
        forecast: Callable[[int, int], Forecast] | None = None,
    ) -> None:
        """Take a loaded model; `TextModel.batching` does.

        Args:
            bounds: how much it may hold.
            context: tokens of prompt and answer together; the publisher's unless given.
            load_seconds: what opening the model took, for `Handle.measured`.
            forecast: what an answer is expected to take, by the tokens of its prompt and of its
                whole state, for `Handle.predicted`.
        """
        self.forward = forward
        self.coder = coder
        self.bounds = bounds
        self.context = forward.spec.context if context is None else context
        self.load_seconds = load_seconds
        self._forecast = forecast
        self._waiting: deque[tuple[Handle, float]] = deque()
        self._running: dict[Handle, tuple[Course, float]] = {}
        self._changed = Condition()
        self._closing = False
        self._thread: Thread | None = None

    def submit(self, request: Request, *, deadline: float | None = None) -> Handle:
        """Queue a request and return its answer, which is computed from now on.

        Args:
            deadline: seconds from now after which the answer is given up with `DeadlineError`.

        Raises:
            ContextLengthError: when prompt and answer do not fit in the context.
            RequestError: when the model does not know a token that the request names.
            DoesNotFitError: for a request whose state can never fit the memory.
            BusyError: when the queue is full or the engine is closing, with `retry_after`.
        """
        return self.submit_several(request, 1, deadline=deadline)[0]

    def submit_several(
        self, request: Request, count: int, *, deadline: float | None = None
    ) -> list[Handle]:
        """Queue a request for several answers, all or none; as `submit`.

        They read the prompt once. Seeds follow one another where the request states one.
        """
        until = float("inf") if deadline is None else monotonic() + deadline
        asked = [_seeded(request, index) for index in range(count)]
        handles = [self._handle(each) for each in asked]
        with self._changed:
            if self._closing:
                raise BusyError("this engine is closing; ask again later")
            if len(self._waiting) + count > self.bounds.queue_requests:
                raise BusyError(f"{len(self._waiting):,} requests wait already; ask again later")
            self._waiting.extend((handle, until) for handle in handles)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="fathom batches", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return handles

    def figures(self) -> Figures:
        """Return what the engine is doing."""
        waiting, running = len(self._waiting), len(self._running)
        return Figures(waiting, running, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0)

    def close(self, drain: bool = True) -> None:
        """Take nothing more; finish what is there, or without `drain` end it. Waits for the end."""
        with self._changed:
            self._closing = True
            handles = [] if drain else [each for each, _ in self._waiting] + list(self._running)
            self._changed.notify_all()
        for handle in handles:
            handle.end(AnswerLostError("the engine was closed before the answer was whole"))
        if self._thread is not None:
            self._thread.join()

    def _handle(self, request: Request) -> Handle:
        vocabulary = self.forward.spec.vocabulary
        request.check_vocabulary(vocabulary)
        if request.beams.beams > 1:
            raise RequestError("beams are not followed here; give beams=1")
        sequence = TokenSequence(
            request,
            self.coder,
            max_tokens=self._room(request),
            vocabulary=vocabulary,
            device=self.forward.device,
        )
        total = len(request.prompt) + sequence.max_tokens
        forecast: Callable[[], Forecast] = Forecast
        if self._forecast is not None:
            forecast = partial(self._forecast, len(request.prompt), total)
        return Handle(sequence, Clock(self.load_seconds), cancel=Handle.end, forecast=forecast)

    def _room(self, request: Request) -> int:
        prompt, asked = len(request.prompt), request.max_tokens
        if prompt + (asked or 1) <= self.context:
            return asked or self.context - prompt
        raise ContextLengthError(
            f"a prompt of {prompt:,} tokens and an answer of {asked or 1:,} do not fit in the"
            f" context of {self.context:,}; shorten the prompt or ask for fewer tokens"
        )

    def _work(self) -> None:
        """Admit, and take every running sequence one step further, until closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._running or self._closing)
                if not self._waiting and not self._running:
                    return
                while self._waiting and len(self._running) < self.bounds.most_sequences:
                    handle, until = self._waiting.popleft()
                    sequence = handle.sequence
                    total = len(sequence.request.prompt) + sequence.max_tokens
                    handle.clock.begin()
                    self._running[handle] = (self.forward.begin(total), until)
            for handle, (course, until) in list(self._running.items()):
                try:
                    self._advance(handle, course, until)
                except FathomError as error:
                    handle.end(error)
                if handle.ended:
                    with self._changed:
                        del self._running[handle]

    def _advance(self, handle: Handle, course: Course, until: float) -> None:
        if handle.ended:
            return
        if monotonic() > until:
            raise DeadlineError("the answer took longer than it may; give it more time")
        sequence = handle.sequence
        first = not sequence.tokens
        course.inserts = sequence.request.inserts
        rest = sequence.request.prompt if first else sequence.tokens[-1:]
        piece = sequence.take(course.scores(rest))
        if first:
            handle.clock.read(len(rest), peak_memory(self.forward.device))
        else:
            handle.clock.write()
        if piece:
            handle.deliver(piece)
        if sequence.finish_reason is not None:
            handle.end()


def _seeded(request: Request, index: int) -> Request:
    """Return the request with the seed of one of several answers."""
    seed = request.sampling.seed
    if seed is None or index == 0:
        return request
    return replace(request, sampling=replace(request.sampling, seed=(seed + index) % 2**63))
