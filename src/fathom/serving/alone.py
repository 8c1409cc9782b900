"""Models that answer one ask at a time: a thread that takes them in order, and a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from fathom.errors import BusyError
from fathom.serving.admission import LONGEST_WAIT, REMEMBERED
from fathom.serving.following import Emit, Follower

if TYPE_CHECKING:
    from fathom.generation.results import Generation
    from fathom.serving.tool_calls.reader import CallReader

R = TypeVar("R")


class Alone:
    """A single thread and what waits for it."""

    def __init__(self, most_waiting: int, name: str) -> None:
        self._most = most_waiting
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"fathom {name}")
        self._lock = threading.Lock()
        self._lasted: deque[float] = deque(maxlen=REMEMBERED)
        self.held = 0  # asks that wait or are computed

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Queue some work.

        Raises:
            BusyError: when too much waits already, with when one of them is likely to be done.
        """
        with self._lock:
            if self.held > self._most:
                after = self._retry_after()
                raise BusyError(
                    f"{self.held:,} asks wait for this model; ask again in {after:.0f} seconds",
                    after,
                )
            self.held += 1
        future = self._pool.submit(self._timed, work)
        future.add_done_callback(self._done)
        return future

    def write(
        self, begin: Callable[[], Generation], emit: Emit, reader: CallReader | None = None
    ) -> Callable[[], None]:
        """Queue an answer, told as it comes; return what cancels it.

        Where tools may be called, `reader` tells calls from text.
        """
        left = threading.Event()

        def work() -> None:
            if left.is_set():
                return
            try:
                generation = begin()
                follower = Follower(0, generation, emit, lambda: generation.predicted, reader)
                for piece in generation:
                    if left.is_set():
                        generation.close()
                        return
                    follower.piece(piece)
                follower.end()
            except Exception as error:  # noqa: BLE001  # whoever asked is told, whatever it is
                emit(error)

        future = self.submit(work)

        def cancel() -> None:
            left.set()
            future.cancel()

        return cancel

    def close(self) -> None:
        """Take nothing more and let go of what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, work: Callable[[], R]) -> R:
        began = monotonic()
        try:
            return work()
        finally:
            self._lasted.append(monotonic() - began)

    def _retry_after(self) -> float:
        """Return the seconds that an ask took lately."""
        lasted = tuple(self._lasted)
        usual = sum(lasted) / len(lasted) if lasted else 0.0
        return min(LONGEST_WAIT, max(1.0, usual))

    def _done(self, future: Future[R]) -> None:
        with self._lock:
            self.held -= 1
