"""States in one piece: each as large as its sequence can come to, from its first token on.

For models whose state cannot be cut into pages. What ended is kept while there is room, for a
prompt that begins with all of it. No tensors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fathom.generation.batching.memory import Entry
from fathom.generation.batching.track import Track
from fathom.generation.inserts import Insert, alike

if TYPE_CHECKING:
    from fathom.generation.forward import Course

UNIT = 2**16  # bytes that count as a page


@dataclass(frozen=True, eq=False)
class Kept:
    """A state that nobody uses, and what is in it."""

    tokens: Sequence[int]
    root: bytes
    inserts: Sequence[Insert]
    capacity: int
    course: Course | None

    def begins(self, track: Track, capacity: int) -> bool:
        """Tell whether a sequence goes on from all that is in it, in as much room."""
        length = len(self.tokens)
        return (
            capacity == self.capacity
            and self.root == track.root
            and length < len(track.tokens)
            and list(self.tokens) == track.tokens[:length]
            and alike(self.inserts, track.inserts, length)
        )


class WholeMemory:
    """`room` bytes, of which a state of a capacity takes what `cost` says."""

    def __init__(
        self, room: int, capacity: Callable[[int], int], cost: Callable[[int], int]
    ) -> None:
        """Take the room, the `capacity` of a sequence's state by its tokens, and its cost."""
        self.room = room
        self._capacity = capacity
        self._cost = cost
        self._held = 0  # bytes of those that run
        self._kept: deque[Kept] = deque()  # least recently used first

    @property
    def free(self) -> int:
        """Pages that nobody uses; those kept for later among them."""
        return self.total - -(-self._held // UNIT)

    @property
    def total(self) -> int:
        """All pages."""
        return self.room // UNIT

    def fits(self, total: int) -> bool:
        """Tell whether a sequence of so many tokens fits when it is alone."""
        return self._cost(self._capacity(total)) <= self.room

    def known(self, track: Track) -> int:
        """Return how many tokens of a sequence would be known if it came in now."""
        found = self._going_on(track)
        return 0 if found is None else len(found.tokens)

    def _going_on(self, track: Track) -> Kept | None:
        """Return the longest state that a sequence goes on from."""
        capacity = self._capacity(track.total)
        going_on = [kept for kept in self._kept if kept.begins(track, capacity)]
        return max(going_on, key=lambda kept: len(kept.tokens), default=None)

    def enter(self, track: Track, others: int) -> Entry:
        """Make room for a sequence, and set how much of it is known already."""
        capacity = self._capacity(track.total)
        cost = self._cost(capacity)
        if self._held + cost > self.room:
            return Entry.FULL
        found = self._going_on(track)
        if found is not None:
            self._kept.remove(found)
            track.course, track.computed = found.course, len(found.tokens)
        self._held += cost
        while self._held + sum(self._cost(kept.capacity) for kept in self._kept) > self.room:
            self._kept.popleft()
        return Entry.DONE

    def reach(self, track: Track, tokens: int) -> bool:
        """There is room from the start."""
        return True

    def note(self, track: Track) -> None:
        """Nothing is shared before its sequence ends."""

    def leave(self, track: Track, *, sound: bool) -> None:
        """Keep the state of a sequence if it is sound, for one that goes on from it."""
        capacity = self._capacity(track.total)
        self._held -= self._cost(capacity)
        if sound and track.computed:
            tokens = tuple(track.tokens[: track.computed])
            kept = Kept(tokens, track.root, track.inserts, capacity, track.course)
            self._kept.append(kept)
        track.course = None
