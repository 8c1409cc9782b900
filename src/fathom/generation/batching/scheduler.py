"""Which sequences go through the model together, and with how many tokens each. No tensors.

Sequences that write go first, a token each. What a step has room for beside them goes to prompts:
in every other step to the oldest first, so that none starves, else to those that are nearly read,
so that a short one does not wait for a long one. While somebody writes, prompts are read in small
pieces.

A prompt is cut at the same places whatever runs beside it, since the kernels for many tokens give
other bits than those for few:

    0          64          128         192   201                    whole = 192, piece = 64
    ├───────────┼───────────┼───────────┼─────┼─ ─ ─ ─ ─ ─ ─ ─ ─
    │  one piece, or several at once    │ any number below a piece at once: the rest of the
    │  that follow one another          │ prompt, what is written, what is computed again
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
            piece: the first `Track.whole` tokens are read in multiples of this.
            longest: the most tokens of a sequence in a step after those; None for any number.
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
        self._oldest_first = False
        self._reads_alone = False  # as nothing could be read beside those who wrote

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
            # Anew, not in place: others look at it meanwhile.
            self.running = sorted([*self.running, track], key=lambda each: each.order)
            running[track.owner] += 1
            self.reused += 0 if track.preempted else track.computed

    def _shares(self) -> Sequence[tuple[Track, int]]:
        """Return how many tokens each running sequence may bring, writing ones first."""
        writing = [(track, 1) for track in self.running if track.rest == 1]
        reading = [track for track in self.running if track.rest > 1]
        if not writing:
            return self._readings(reading, self.most_tokens)
        room = min(self.most_tokens - len(writing), self.mixed_tokens)
        found = self._readings(reading, room)
        if reading and not found and self._reads_alone:
            self._reads_alone = False
            return self._readings(reading, self.most_tokens)
        self._reads_alone = bool(reading) and not found
        return [*writing, *found]

    def _readings(self, reading: Sequence[Track], room: int) -> list[tuple[Track, int]]:
        """Return who reads how many tokens of the `room` that a step has for that."""
        order = sorted(reading, key=lambda each: each.rest)
        self._oldest_first = not self._oldest_first
        if reading and self._oldest_first:
            order.remove(reading[0])
            order.insert(0, reading[0])
        found = []
        for track in order:
            count = self._piece_of(track, room)
            room -= count
            if count:
                found.append((track, count))
        return found

    def _piece_of(self, track: Track, most: int) -> int:
        """Return how many tokens a sequence reads next, at most so many."""
        whole = len(track.tokens) if track.whole is None else track.whole
        if track.computed >= whole:
            return max(0, min(track.rest, most, self.longest))
        left = min(track.rest, whole - track.computed)
        if most >= left:
            return left
        end = (track.computed + most) // self.piece * self.piece
        return max(0, end - track.computed)

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
