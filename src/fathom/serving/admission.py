"""Who is let in: asks are counted before anything of them is read, and told when to come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from fathom.errors import BusyError

REMEMBERED = 32  # ends of asks, from which the next one is guessed
LONGEST_WAIT = 60.0  # seconds that anybody is told to wait


class Admission:
    """Counts asks on their way.

    Attributes:
        most: how many there may be.
        inside: how many there are.
        refused: how many were turned away.
        closed: whether the server is ending, and takes none.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0
        self.refused = 0
        self.closed = False
        self._ended: deque[float] = deque(maxlen=REMEMBERED)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            BusyError: when there is none.
        """
        if self.closed:
            self.refused += 1
            raise BusyError("the server is about to end; ask again when it is back", 5.0)
        if self.inside >= self.most:
            self.refused += 1
            raise BusyError(
                f"{self.inside:,} requests are on their way; ask again later", self.retry_after()
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._ended.append(monotonic())

    def retry_after(self) -> float:
        """Return seconds until a place is free, by how fast they became free lately."""
        if len(self._ended) < 2:
            return 1.0
        each = (self._ended[-1] - self._ended[0]) / (len(self._ended) - 1)
        return min(LONGEST_WAIT, max(1.0, each))
