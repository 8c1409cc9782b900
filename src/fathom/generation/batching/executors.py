"""What computes a step of many sequences: a native program over pages, or anything in its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from fathom.errors import DoesNotFitError, UnsupportedTaskError
from fathom.generation.batching import prefixes
from fathom.generation.batching.memory import Memory
from fathom.generation.batching.paged_memory import PagedMemory, counts
from fathom.generation.batching.track import Track, Work
from fathom.generation.batching.whole_memory import WholeMemory
from fathom.generation.forward import CHUNK, Forward, NativeForward
from fathom.generation.generate import capacity
from fathom.generation.pages import turning
from fathom.generation.request import Request
from fathom.ops.program import Batch
from fathom.programs.latent_steps import LatentHeads
from fathom.programs.steps import Attend, Heads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fathom.generation.forward import Scores
    from fathom.programs.plan import Plan

    Outcome: TypeAlias = Scores | Exception | None


PIECE = 64  # `prompt_tokens` of `ops/kernels/attention_steps.cpp`, which a test holds it to


class Executor(Protocol):
    """A model that takes a step of many sequences.

    Attributes:
        memory: where their states lie.
        most_tokens: the most that it takes in one step.
        piece: what is read in whole pieces of a sequence is cut at multiples of this.
        mixed_tokens: tokens of prompts that a step takes beside sequences that write.
        longest: the most tokens of a sequence in a step after its whole pieces.
        opening_seconds: that the first step may take for what is loaded when it is first used.
    """

    memory: Memory
    most_tokens: int
    piece: int
    mixed_tokens: int
    longest: int
    opening_seconds: float

    @property
    def forward(self) -> Forward:
        """The model."""
        ...

    def forget(self) -> Memory:
        """Let go of all states, and return the memory of now."""
        ...

    def prepare(self, track: Track, request: Request) -> None:
        """Set what a sequence's state depends on, beside its tokens.

        Raises:
            UnsupportedTaskError: for a request that the model cannot take.
        """
        ...

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Take a step: for each work its scores (vocabulary,) where it is the last of its
        sequence, or what went wrong with it alone."""
        ...


class NativeExecutor:
    """A native program, all sequences in one call.

    From `PIECE` tokens of a sequence on, attention to keys in float16 has quicker kernels, of other
    bits. So a prompt has its whole pieces from its own first token on, which meet those kernels
    whatever runs beside them, and all that comes after meets the others. What was written is read
    again, then, where it comes to stand in a prompt.
    """

    longest = PIECE - 1
    piece = PIECE
    mixed_tokens = PIECE + PIECE // 2  # a piece, and the end of another prompt
    opening_seconds = 0.0  # weights were packed
    memory: Memory

    def __init__(
        self, forward: NativeForward, memory: int, *, sequences: int, context: int
    ) -> None:
        """Lay out pages in `memory` bytes, for so many sequences.

        Raises:
            DoesNotFitError: for less memory than a single page of every pool.
        """
        self.forward = forward
        self.context = context
        self.most_tokens = forward.program.most_tokens
        plan = forward.program.plan
        self._in_pieces = self.most_tokens >= PIECE and any(
            isinstance(step, Attend) and step.heads.state == "float16" for step in plan.steps
        )
        slots = sequences * plan.slot_bytes
        least = plan.state_bytes(1, self.most_tokens)
        if memory < max(least, slots):
            raise DoesNotFitError(
                f"{memory:,} bytes are less than the state of a few tokens takes; give at least"
                f" {max(least, slots):,}"
            )
        pages = self._counts = counts(
            plan.pools,
            memory - slots,
            sequences=sequences,
            context=context,
            most_tokens=self.most_tokens,
        )
        self._sequences = sequences if slots else None
        self.forget()
        # Memory that no page was written in is not taken from the system.
        self._pages: list[NDArray[np.uint8]] = [
            np.empty(count * shape.page_bytes, dtype=np.uint8)
            for count, shape in zip(pages, plan.pools, strict=True)
        ]
        self._layers = [by_layer(plan, pool, found) for pool, found in enumerate(self._pages)]
        self._slots: NDArray[np.uint8] = np.empty(slots, dtype=np.uint8)

    def forget(self) -> Memory:
        """Begin with blank pages, which are returned as the memory of now."""
        shapes = self.forward.program.plan.pools
        self.memory = self._dealt = PagedMemory(
            shapes,
            self._counts,
            most_tokens=self.most_tokens,
            slots=self._sequences,
            piece=PIECE,
        )
        return self.memory

    def prepare(self, track: Track, request: Request) -> None:
        """Set the frequencies of a sequence's positions, its pieces, what its blocks depend on."""
        if request.inserts:
            raise UnsupportedTaskError(
                "native programs take tokens alone; set FATHOM_VARIANT=reference to put vectors"
                " in a prompt"
            )
        turns = turning(self.forward.rotations, capacity(track.total, self.context))
        track.turns = turns
        track.whole = len(track.tokens) // PIECE * PIECE if self._in_pieces else 0
        track.root = prefixes.root(track.root, turns.tobytes())

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Take a step in one call of the program."""
        self._copy()
        ids = [token for work in works for token in work.tokens]
        ends = np.cumsum([work.count for work in works], dtype=np.int32)
        wanted = [index for index, work in enumerate(works) if work.last]
        batch = Batch(
            ids=np.asarray(ids, dtype=np.int32),
            counts=[work.count for work in works],
            starts=[work.start for work in works],
            tables=[self._tables(works, index) for index in range(len(self._pages))],
            frequencies=np.stack([_turns(work.track) for work in works]),
            outputs=ends[wanted] - 1,
            slots=[work.track.slot for work in works] if self._sequences else (),
        )
        scores = iter(self.forward.program.run(batch, self._pages, self._slots))
        return [next(scores) if work.last else None for work in works]

    def _copy(self) -> None:
        """Copy what sequences have in common in the page where they part."""
        for each in self._dealt.copies():
            for pages in self._layers[each.pool]:
                pages[each.target] = pages[each.source]

    def _tables(self, works: Sequence[Work], pool: int) -> NDArray[np.int32]:
        """(sequences, pages) int32; what lies past a sequence's end is any page."""
        tables = [work.track.tables[pool] for work in works]
        found = np.zeros((len(works), max(map(len, tables))), dtype=np.int32)
        for row, table in zip(found, tables, strict=True):
            row[: len(table)] = table
        return found


class CourseExecutor:
    """Any model that sends sequences through one after the other, each with a state of its own."""

    piece = CHUNK
    most_tokens = CHUNK
    mixed_tokens = CHUNK
    longest = CHUNK
    opening_seconds = 60.0  # libraries of an accelerator, weights that lie on a slow disk
    memory: Memory

    def __init__(
        self, forward: Forward, memory: int, *, context: int, cost: Callable[[int], int]
    ) -> None:
        """Take a model, and the bytes that a state of a capacity `cost`s."""
        self.forward = forward
        self.context = context
        self._room = memory
        self._cost = cost
        self.forget()

    def forget(self) -> Memory:
        """Begin with no state, and return the memory of now."""
        self.memory = WholeMemory(
            self._room, lambda total: capacity(total, self.context), self._cost
        )
        return self.memory

    def prepare(self, track: Track, request: Request) -> None:
        """Note the vectors that stand in a prompt."""
        track.inserts = request.inserts

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Take a step, one sequence after the other; a fault of one is not the others'."""
        found: list[Outcome] = []
        for work in works:
            try:
                found.append(self._scores(work))
            except Exception as error:  # noqa: BLE001  # told as this one's outcome
                found.append(error)
        return found

    def _scores(self, work: Work) -> Scores | None:
        track = work.track
        course = track.course
        if course is None:
            course = track.course = self.forward.begin(capacity(track.total, self.context))
        course.inserts = track.inserts
        if track.inserts and not work.last:
            return None  # what sees one another goes through together: all of it with the last
        scores = course.scores(track.tokens[len(course.ids) : work.start + work.count])
        return scores if work.last else None


def by_layer(plan: Plan, pool: int, pages: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return a pool as the pages of each layer, (pages, bytes): those of a layer lie together."""
    shape = plan.pools[pool]
    heads = [getattr(step, "heads", None) for step in plan.steps]
    offsets = {
        each.page_offset
        for each in heads
        if isinstance(each, Heads | LatentHeads) and each.pool == pool
    }
    count, ends = len(pages) // shape.page_bytes, [*sorted(offsets), shape.page_bytes]
    return [
        pages[count * begin : count * end].reshape(count, end - begin)
        for begin, end in pairwise(ends)
    ]


def _turns(track: Track) -> NDArray[np.float32]:
    if track.turns is None:
        raise ValueError("a sequence was not prepared")
    return track.turns


def executor_for(
    forward: Forward,
    *,
    memory: int,
    sequences: int,
    context: int,
    cost: Callable[[int], int],
) -> Executor:
    """Return what computes many sequences on a model: natively where it is a native program.

    `cost` is the bytes that a state of a capacity takes where it is in one piece.

    Raises:
        DoesNotFitError: for less memory than the state of a few tokens takes.
    """
    if isinstance(forward, NativeForward):
        return NativeExecutor(forward, memory, sequences=sequences, context=context)
    return CourseExecutor(forward, memory, context=context, cost=cost)
