"""The worker of an engine: a thread that takes every sequence a step further, come what may."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING

from fathom.errors import AnswerLostError, BusyError, DeadlineError, FathomError
from fathom.generation.batching.figures import SOONEST, Figures, Tally
from fathom.generation.batching.handle import Handle
from fathom.generation.batching.outlook import Load, Rules, until_first
from fathom.generation.batching.pace import Law, Pace
from fathom.generation.batching.progress import FOREVER, Amounts, Progress
from fathom.generation.batching.scheduler import Scheduler
from fathom.generation.batching.track import Track, Work
from fathom.generation.measuring import peak_memory

if TYPE_CHECKING:
    from fathom.generation.batching.executors import Executor, Outcome
    from fathom.generation.forward import Scores
    from fathom.generation.reasoning import Piece

USUAL_PROMPTS = 4


@dataclass(frozen=True)
class Bounds:
    """How much an engine may hold.

    Attributes:
        memory: bytes for the state of all sequences, those kept for later ones included.
        most_sequences: how many are computed together.
        queue_requests: how many requests may wait.
        queue_tokens: how many tokens may wait, prompts and the longest answers together; an
            empty queue takes any number.
        silent_seconds: that a step may take without being taken for one that hangs (`Figures`);
            or, where that is longer, several times as long as such steps are expected to take.
        most_wait: seconds that a request may be expected to wait for others, as steps go lately;
            or, where that is longer, as many as `USUAL_PROMPTS` take to be read: who asks a slow
            model is used to waiting.
    """

    memory: int
    most_sequences: int = 16
    queue_requests: int = 64
    queue_tokens: int = 2**18
    most_wait: float = FOREVER
    silent_seconds: float = FOREVER


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """A request in the engine: who reads its answer, how far it is, and until when it may take."""

    handle: Handle
    track: Track
    until: float


class Worker:
    """Requests that wait and that run, and the thread that computes them."""

    def __init__(self, executor: Executor, bounds: Bounds) -> None:
        """Take what computes; the thread begins with the first request."""
        self.executor = executor
        self.bounds = bounds
        self._tally = Tally()
        self._pace = Pace()
        self._progress = Progress(self._pace, bounds.silent_seconds, executor.opening_seconds)
        self._seats: dict[Track, Seat] = {}
        self._scheduler = self._new_scheduler()
        self._changed = Condition()  # guards what follows
        self._arrived: deque[Seat] = deque()
        self._queued_tokens = 0
        self._closing = False
        self._thread: Thread | None = None

    def require_place(self, count: int, total: int) -> None:
        """Refuse `count` requests of `total` tokens each that the queue has no place for.

        Raises:
            BusyError: with the seconds after which to try again.
        """
        with self._changed:
            self._require_place(count, total)
        self._require_soon(count)

    def add(self, seats: Sequence[Seat]) -> None:
        """Take requests in, all alike, as far as there is still a place.

        Raises:
            BusyError: as `require_place`.
        """
        with self._changed:
            self._require_place(len(seats), seats[0].track.total)
            self._arrived.extend(seats)
            self._queued_tokens += sum(seat.track.total for seat in seats)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="fathom-batches", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wake(self) -> None:
        """Look at once at what was given up."""
        with self._changed:
            self._changed.notify_all()

    def close(self, within: float | None) -> None:
        """Take nothing more, and end with an error what is not whole within so many seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        thread = self._thread
        if thread is None or thread is current_thread():
            return
        thread.join(within)
        with self._changed:
            left = [*self._arrived, *self._seats.copy().values()]
        for seat in left:
            seat.handle.end(AnswerLostError("the engine was closed before the answer was whole"))
        thread.join(within)

    def expect(self, law: Law) -> None:
        """Take note of what steps are predicted to take."""
        self._progress.expected = law

    def figures(self) -> Figures:
        """Return what is being done."""
        scheduler, tally = self._scheduler, self._tally
        step_seconds, step_longest = self._progress.now()
        return Figures(
            waiting=len(scheduler.waiting) + len(self._arrived),
            running=len(scheduler.running),
            waiting_tokens=self._queued_tokens,
            pages_free=scheduler.memory.free,
            pages_total=scheduler.memory.total,
            reused_tokens=tally.reused,
            preemptions=tally.preemptions,
            finished=tally.finished,
            failed=tally.failed,
            cancelled=tally.cancelled,
            steps=tally.steps,
            step_seconds=step_seconds,
            step_longest=step_longest,
            tokens_per_second=tally.tokens_per_second,
            overhead=tally.overhead,
            wait=self.wait(),
        )

    def _require_place(self, count: int, total: int) -> None:
        if self._closing:
            raise BusyError("this engine is closing; ask another, or again later")
        there = len(self._arrived) + len(self._seats)
        most = self.bounds.most_sequences + self.bounds.queue_requests
        tokens = self._queued_tokens + count * total
        room = self._queued_tokens == 0 or tokens <= self.bounds.queue_tokens
        if there + count <= most and room:
            return
        after = self._tally.retry_after(max(1, there - self.bounds.most_sequences))
        raise BusyError(
            f"{there:,} requests are here already, {self._queued_tokens:,} tokens of them waiting;"
            f" ask again in {after:.0f} seconds",
            after,
        )

    def _require_soon(self, count: int) -> None:
        """Refuse what would begin too late: then it is better asked for again, or elsewhere."""
        most = self.bounds.most_wait
        wait = 0.0 if most == FOREVER else self.wait(count)
        if wait > most and wait > (most := max(most, self._patience())):
            after = max(SOONEST, wait - most)
            raise BusyError(
                f"an answer would begin in {wait:.0f} seconds, and none is to wait more than"
                f" {most:g}; ask again in {after:.0f} seconds",
                after,
            )

    def wait(self, count: int = 1) -> float:
        """Return the seconds that a request would wait for others if it came now.

        Of `count` that are asked for together it is the last one's.
        """
        scheduler, arrived = self._scheduler, tuple(self._arrived)
        running, waiting = tuple(scheduler.running), tuple(scheduler.waiting)
        if not (running or waiting or arrived or count > 1):
            return 0.0
        answer = self._tally.usual_answer
        coming = [*waiting, *(seat.track for seat in arrived)]
        others = [Load(1, answer) for _ in range(count - 1)]
        return until_first(
            self._pace.law(),
            self._rules,
            [_load(track, answer) for track in running],
            [*(_load(track, answer) for track in coming), *others],
            Load(1, answer),
        )

    @property
    def _rules(self) -> Rules:
        scheduler = self._scheduler
        return Rules(scheduler.most_sequences, scheduler.most_tokens, scheduler.mixed_tokens)

    def _patience(self) -> float:
        """Return the seconds that some usual prompts take to be read."""
        usual = Load(self._tally.usual_prompt, 0)
        return USUAL_PROMPTS * until_first(self._pace.law(), self._rules, (), (), usual)

    def _new_scheduler(self) -> Scheduler:
        executor = self.executor
        return Scheduler(
            executor.forget(),
            most_sequences=min(self.bounds.most_sequences, executor.most_tokens),
            most_tokens=executor.most_tokens,
            mixed_tokens=executor.mixed_tokens,
            piece=executor.piece,
            longest=executor.longest,
        )

    # What follows runs on the worker's thread alone.

    def _work(self) -> None:
        """Take steps until the engine is closed and empty, whatever goes wrong in one of them."""
        while self._turn():
            began, inside = monotonic(), self._tally.inside
            try:
                self._step()
            except Exception as error:  # noqa: BLE001  # told to all whom it may concern
                self._abandon(error)
            finally:
                self._progress.end()
            self._tally.outside += monotonic() - began - (self._tally.inside - inside)

    def _turn(self) -> bool:
        """Wait for something to do; take in what arrived and out what was given up."""
        with self._changed:
            self._changed.wait_for(lambda: self._arrived or self._seats or self._closing)
            while self._arrived:
                seat = self._arrived.popleft()
                self._seats[seat.track] = seat
                self._scheduler.add(seat.track)
                seat.track.foreseen = self._scheduler.memory.known(seat.track)
        now = monotonic()
        for seat in list(self._seats.values()):
            if now > seat.until:
                seat.handle.end(DeadlineError("the answer took longer than it was given"))
            if seat.handle.ended:
                self._tally.cancelled += 1
                self._leave(seat, sound=True)
        self._count_waiting()
        return bool(self._seats) or not self._closing

    def _step(self) -> None:
        """Compute a step, choose the tokens that come next, and hand out their text."""
        if not self._seats:
            return
        began = monotonic()
        works = self._scheduler.plan()
        self._note(works)
        if not works:
            raise RuntimeError("requests are here and none of them can go on")
        amounts = Amounts.of(works)
        self._progress.begin(amounts)
        self._tally.begin()
        outcomes = self._outcomes(works)
        self._tally.end(sum(work.last for work in works))
        for work, outcome in zip(works, outcomes, strict=True):
            seat = self._seats[work.track]
            if seat.handle.ended:
                continue  # given up meanwhile: the next turn takes it out
            try:
                self._take(seat, work, outcome)
            except Exception as error:  # noqa: BLE001  # one answer's fault is not the others'
                self._fail(seat, error)
        self._pace.learn(amounts.read, amounts.written, monotonic() - began)

    def _note(self, works: Sequence[Work]) -> None:
        """Note which requests begin, what waits, and what was put back."""
        scheduler, tally = self._scheduler, self._tally
        for work in works:
            handle = self._seats[work.track].handle
            if handle.clock.waited is None:
                handle.clock.begin()
                handle.sequence.reused = work.start
                tally.reused += work.start
        tally.preemptions += scheduler.preemptions
        scheduler.preemptions = 0
        self._count_waiting()

    def _count_waiting(self) -> None:
        """Count the tokens that wait, for those who ask whether there is a place."""
        with self._changed:
            waiting = [*self._scheduler.waiting, *(seat.track for seat in self._arrived)]
            self._queued_tokens = sum(track.total for track in waiting)

    def _outcomes(self, works: Sequence[Work]) -> Sequence[Outcome]:
        try:
            return self.executor.run(works)
        except Exception as error:  # noqa: BLE001  # told to those for whom it was computed
            return [error] * len(works)

    def _take(self, seat: Seat, work: Work, outcome: Outcome) -> None:
        """Take what became of a work; after the last one of a sequence comes a token."""
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            self._scheduler.done(work)
            return
        piece = self._chosen(seat, work, outcome)
        if piece:
            seat.handle.deliver(piece)
        if seat.handle.sequence.finish_reason is not None:
            self._tally.finish(len(seat.handle.sequence.tokens))
            self._leave(seat, sound=True)
            seat.handle.end()

    def _chosen(self, seat: Seat, work: Work, scores: Scores) -> Piece:
        """Choose the token after a sequence, and return the text that is certain by it."""
        sequence, clock = seat.handle.sequence, seat.handle.clock
        first = not sequence.tokens
        piece = sequence.take(scores)  # raises for broken scores, before others can find the state
        self._scheduler.done(work)
        work.track.tokens.append(sequence.tokens[-1])
        if first:
            read = len(sequence.request.prompt) - sequence.reused
            self._tally.read(read)
            clock.read(read, peak_memory(self.executor.forward.device))
        else:
            clock.write()
        return piece

    def _leave(self, seat: Seat, *, sound: bool) -> None:
        """Take a request out, and free what it held."""
        del self._seats[seat.track]
        self._scheduler.remove(seat.track, sound=sound)
        self._tally.left()

    def _fail(self, seat: Seat, error: Exception) -> None:
        """End an answer with an error; nobody is to find what it left."""
        self._tally.failed += 1
        self._leave(seat, sound=False)
        seat.handle.end(_told(error))

    def _abandon(self, error: Exception) -> None:
        """End all answers after a fault in the order of things, and begin anew."""
        for seat in self._seats.values():
            self._tally.failed += 1
            seat.handle.end(_told(error))
        self._seats = {}
        self._scheduler = self._new_scheduler()
        self._count_waiting()


def _load(track: Track, answer: float) -> Load:
    """Return what is left to do of a sequence, whose answer is as long as usual or shorter.

    However much it has written, as much as usual is to come: nothing is known of where it ends.
    """
    read = track.rest if track.rest > 1 else 0
    foreseen = 0 if track.computed else track.foreseen
    return Load(max(0, read - foreseen), min(answer, track.total - len(track.tokens)))


def _told(error: Exception) -> FathomError:
    """Return what a reader is told of an error."""
    if isinstance(error, FathomError):
        return error
    lost = AnswerLostError(
        f"the answer was lost to a fault while it was computed ({type(error).__name__}); ask again"
    )
    lost.__cause__ = error
    return lost
