"""Which sequences go through the model together, and with how many tokens each. No tensors.

Sequences that write go first, a token each. What a step has room for beside them goes to prompts:
half to the oldest, so that none starves, the rest to those that are nearly read, so that a short
one does not wait for a long one. While somebody writes, prompts are read in small pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fathom.generation.batching.memory import Entry, Memory
from fathom.generation.batching.track import Track, Work


class Scheduler:
    """Sequences that wait and that run, and the memory that they share.

    Attributes:
        waiting: those without state in memory, as they came.
        running: those with state, oldest first.
        preemptions: how often one was put back to wait.
        reused: tokens that were known when a sequence first came in.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        most_sequences: int,
        most_tokens: int,
        mixed_tokens: int,
        piece: int = 1,
        longest: int | None = None,
    ) -> None:
        """Begin with nothing to do.

        Args:
            most_sequences: how many run together.
            most_tokens: how many tokens go through the model in one step, no fewer than those.
            mixed_tokens: how many of them are of prompts where somebody writes.
            piece: prompts are read in multiples of this, so that where they are cut does not
                depend on what runs beside them.
            longest: the most tokens of one sequence in a step; None for any number.
        """
        self.memory = memory
        self.most_sequences = most_sequences
        self.most_tokens = most_tokens
        self.mixed_tokens = mixed_tokens
        self.piece = piece
        self.longest = most_tokens if longest is None else longest
        self.waiting: list[Track] = []
        self.running: list[Track] = []
        self.preemptions = 0
        self.reused = 0

    def add(self, track: Track) -> None:
        """Let a sequence wait for its turn."""
        self.waiting.append(track)

    def remove(self, track: Track, *, sound: bool = True) -> None:
        """Take a sequence out, wherever it is, and free its room.

        What it left is known to later ones only if it is `sound`.
        """
        if track in self.waiting:
            self.waiting.remove(track)
        elif track in self.running:
            self.running.remove(track)
            self.memory.leave(track, sound=sound)

    def plan(self) -> list[Work]:
        """Let in what there is room for, and return what goes through the model next."""
        self._let_in()
        works = []
        for track, count in self._shares():
            if track in self.running and self._make_room(track, count):
                works.append(Work(track, track.computed, count))
        return [work for work in works if work.track in self.running]

    def done(self, work: Work) -> None:
        """Take note that a piece of work went through the model."""
        work.track.computed = work.start + work.count
        self.memory.note(work.track)

    def _let_in(self) -> None:
        """Let in those that wait, the next one first; one that does not fit is not overtaken."""
        running = Counter(track.owner for track in self.running)
        later: list[Track] = []
        while self.waiting and len(self.running) < self.most_sequences:
            track = min(
                (each for each in self.waiting if each not in later),
                key=lambda each: (not each.preempted, running[each.owner], each.order),
                default=None,
            )
            entry = Entry.FULL if track is None else self.memory.enter(track, len(self.running))
            if track is None or entry is Entry.FULL:
                return
            if entry is Entry.LATER:
                later.append(track)
                continue
            self.waiting.remove(track)
            self.running.append(track)
            self.running.sort(key=lambda each: each.order)
            running[track.owner] += 1
            self.reused += 0 if track.preempted else track.computed

    def _shares(self) -> Sequence[tuple[Track, int]]:
        """Return how many tokens each running sequence may bring, writing ones first."""
        writing = [track for track in self.running if track.rest == 1]
        reading = [track for track in self.running if track.rest > 1]
        left = self.most_tokens - len(writing)
        left = min(left, self.mixed_tokens) if writing else left
        shares = dict.fromkeys(writing, 1)
        if reading and left > 0:
            left -= self._share(shares, reading[0], max(-(-left // 2), self.piece))
            for track in sorted(reading, key=lambda each: each.rest):
                left -= self._share(shares, track, left)
        return list(shares.items())

    def _share(self, shares: dict[Track, int], track: Track, most: int) -> int:
        """Give a sequence up to `most` tokens more, in whole pieces; return how many."""
        if most <= 0:
            return 0
        had = shares.get(track, 0)
        count = min(track.rest, had + most, self.longest)
        if count < track.rest:
            end = (track.computed + count) // self.piece * self.piece
            count = max(end - track.computed, had)
        if count > had:
            shares[track] = count
        return count - had

    def _make_room(self, track: Track, count: int) -> bool:
        """Make room for tokens of a sequence; put back the newest ones where there is none."""
        while not self.memory.reach(track, track.computed + count):
            newest = self.running[-1]
            self._put_back(newest)
            if newest is track:
                return False
        return True

    def _put_back(self, track: Track) -> None:
        """Free the room of a sequence, which waits to be computed again."""
        self.running.remove(track)
        self.memory.leave(track, sound=True)
        track.preempted, track.computed, track.noted = True, 0, 0
        self.preemptions += 1
        self.waiting.append(track)
