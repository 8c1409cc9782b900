"""Stop texts: the answer ends before the first of them, wherever the borders of tokens lie."""

from __future__ import annotations

from collections.abc import Sequence


class Stopper:
    """Lets text through until a stop text is complete.

    Text that could still become part of a stop text is held back. Of several stop texts the one
    that is complete first counts, and of those complete together the longest; so the result does
    not depend on how the text is cut into pieces.

    Attributes:
        stopped: whether one was complete.
        found: which one, empty before.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = sorted(stops, key=len, reverse=True)
        self._held = ""
        self.stopped = False
        self.found = ""

    def push(self, text: str) -> str:
        """Take a piece and return what is certain to be part of the answer by now."""
        if self.stopped:
            return ""
        self._held += text
        found = self._first()
        if found is not None:
            begin, end = found
            self.stopped, self.found = True, self._held[begin:end]
            return self._release(begin)
        return self._release(len(self._held) - self._possible())

    def flush(self) -> str:
        """Return what was held back, when no more text will come."""
        return "" if self.stopped else self._release(len(self._held))

    def _first(self) -> tuple[int, int] | None:
        """Return where the stop text begins and ends that is complete first."""
        found = [
            (start + len(stop), start)
            for stop in self._stops
            if (start := self._held.find(stop)) >= 0
        ]
        if not found:
            return None
        end, begin = min(found)
        return begin, end

    def _possible(self) -> int:
        """Return the length of the longest end of the text with which a stop text begins."""
        longest = len(self._stops[0]) - 1 if self._stops else 0
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0

    def _release(self, length: int) -> str:
        released, self._held = self._held[:length], self._held[length:]
        return released
