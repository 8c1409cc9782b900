"""How long work reports itself: a small protocol that the command line draws and tests record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("fathom")


class Progress(Protocol):
    """One piece of work at a time: `start`, any number of `advance`, `done`."""

    def start(self, total: int | None, what: str) -> None:
        """Begin `what`; `total` counts bytes, or is ``None`` where nobody knows."""

    def advance(self, count: int) -> None:
        """`count` more bytes are through; a retry that begins again may go back (negative)."""

    def done(self) -> None:
        """The work that was started has ended, well or not."""


class Quiet:
    """Shows nothing. What is worth a line goes to the ``fathom`` logger."""

    def start(self, total: int | None, what: str) -> None:
        log.debug("%s (%s bytes)", what, "unknown" if total is None else f"{total:,}")

    def advance(self, count: int) -> None:
        pass

    def done(self) -> None:
        pass


QUIET = Quiet()


@contextmanager
def working(progress: Progress, total: int | None, what: str) -> Iterator[None]:
    """Report `what` from the first line of the block to its end, however it ends."""
    progress.start(total, what)
    try:
        yield
    finally:
        progress.done()
