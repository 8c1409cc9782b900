"""States in pages: taken as a sequence grows, shared where sequences begin alike. No tensors.

Of the page in which two part from each other, the later one has a copy, and goes on from there.

tokens      0 … 31      32 … 63     64 … 95     96 …
name        sha(root·t) sha(↑·t)    sha(↑·t)    none before it is complete
pool 0      page 7      page 2      page 9      page 4      layers that see everything
pool 1      –           –           page 1      page 0      layers with a window
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.generation.batching import prefixes
from fathom.generation.batching.memory import Entry
from fathom.generation.batching.page_pool import Block, PagePool
from fathom.generation.batching.track import Track
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import PoolShape

MOST_PAGES = 2**30  # of a pool: tables are int32
LEAST_COPIED = 2  # tokens for which a page is copied, which takes a part of the time of one


@dataclass(frozen=True, slots=True)
class Copy:
    """A page of a pool whose content goes to another before the next step."""

    pool: int
    source: int
    target: int


def counts(
    shapes: Sequence[PoolShape], memory: int, *, sequences: int, context: int, most_tokens: int
) -> list[int]:
    """Return the pages of each pool that `memory` bytes make.

    Pools with a window get what `sequences` sequences need that fill the memory together; the
    rest is for those that see everything.
    """

    def needed(capacity: int) -> list[int]:
        return [shape.pages(capacity, most_tokens) for shape in shapes]

    def size(pages: Sequence[int]) -> int:
        return sum(count * shape.page_bytes for count, shape in zip(pages, shapes, strict=True))

    sequences = max(1, min(sequences, memory // max(1, size(needed(1)))))
    low, high = 1, context  # tokens of each of them
    while low < high:
        middle = (low + high + 1) // 2
        fits = sequences * size(needed(middle)) <= memory
        low, high = (middle, high) if fits else (low, middle - 1)
    found = [sequences * pages for pages in needed(low)]
    whole = [index for index, shape in enumerate(shapes) if shape.window is None]
    growing = whole or range(len(shapes))
    left = memory - size(found)
    together = sum(shapes[index].page_bytes for index in growing)
    for index in growing:
        found[index] = min(MOST_PAGES, found[index] + max(0, left // together))
    return found


class PagedMemory:
    """Pages of a plan's pools, dealt out to sequences."""

    def __init__(
        self,
        shapes: Sequence[PoolShape],
        pages: Sequence[int],
        *,
        most_tokens: int,
        slots: int | None = None,
        piece: int = PAGE_TOKENS,
    ) -> None:
        """Take the pools' shapes and how many `pages` each has.

        `most_tokens` of a sequence go through the model together. What is read in whole pieces is
        known in whole pieces, so a `piece` is a number of whole pages. Where recurrences remember
        something, there is a slot for each of `slots` sequences, and nothing is shared: what a
        recurrence knew at the end of a block is gone.
        """
        self.shapes = tuple(shapes)
        self.pools = [PagePool(count) for count in pages]
        self.most_tokens = most_tokens
        self._piece = piece
        self._slots = None if slots is None else list(range(slots))
        self._promised: dict[bytes, Track] = {}  # blocks that a running sequence will have
        self._copies: list[Copy] = []

    @property
    def free(self) -> int:
        """Pages that nobody holds."""
        return sum(pool.free for pool in self.pools)

    @property
    def total(self) -> int:
        """All pages."""
        return sum(pool.count for pool in self.pools)

    def fits(self, total: int) -> bool:
        """Tell whether a sequence of so many tokens fits when it is alone."""
        return all(
            shape.pages(total, self.most_tokens) <= pool.count
            for shape, pool in zip(self.shapes, self.pools, strict=True)
        )

    def known(self, track: Track) -> int:
        """Return how many tokens of a sequence would be known if it came in now."""
        known = self._known(track, self._usable(track))
        return known * PAGE_TOKENS + self._begun_alike(track, known)[1]

    def copies(self) -> Sequence[Copy]:
        """Return what is to be copied before anything else is written, in this order; once."""
        found, self._copies = self._copies, []
        return found

    def enter(self, track: Track, others: int) -> Entry:
        """Make room for all tokens of a sequence, and set how many are known already."""
        usable = self._usable(track)
        known = self._known(track, usable)
        if known < len(usable) and self._promised.get(usable[known], track) is not track:
            return Entry.LATER
        self._share(track, known)
        if self._slots == [] or not self._room(track, others):
            self._give_back(track)
            return Entry.FULL
        if self._slots is not None:
            track.slot = self._slots.pop()
        for index, shape in enumerate(self.shapes):
            if shape.window is None:
                self._grow(track, index, len(track.tokens))
        track.computed = known * PAGE_TOKENS + self._copy(track, known)
        track.noted = known
        for name in track.names[known:]:
            self._promised.setdefault(name, track)
        return Entry.DONE

    def reach(self, track: Track, tokens: int) -> bool:
        """Make room for the next tokens, up to so many in total; tell whether there was some."""
        self._drop(track)
        blocks = _blocks(tokens)
        for pool, table in zip(self.pools, track.tables, strict=True):
            if blocks - len(table) > pool.free:
                return False
        for index in range(len(self.pools)):
            self._grow(track, index, tokens)
        return True

    def note(self, track: Track) -> None:
        """Let the blocks that became complete be found by those that begin alike."""
        if self._slots is not None:
            return
        complete = track.computed // PAGE_TOKENS
        computed = track.tokens[: track.computed]
        prefixes.extend(track.names, computed, track.root, PAGE_TOKENS, track.whole)
        for index in range(track.noted, complete):
            block = self._block(track, index)
            for pool, table, begun in zip(self.pools, track.tables, track.begun, strict=True):
                if index >= begun:
                    pool.name(table[index], block)
            if self._promised.get(block.name) is track:
                del self._promised[block.name]
        track.noted = complete

    def leave(self, track: Track, *, sound: bool) -> None:
        """Free the pages of a sequence; what nobody shares is forgotten unless it is sound."""
        if not sound:
            for pool, table, begun in zip(self.pools, track.tables, track.begun, strict=True):
                for page in table[begun:]:
                    if pool.holders(page) == 1:
                        pool.forget(page)
        self._give_back(track)
        if self._slots is not None:
            self._slots.append(track.slot)
        for name in track.names:
            if self._promised.get(name) is track:
                del self._promised[name]

    def _usable(self, track: Track) -> Sequence[bytes]:
        """Return the names of the blocks that need not be computed; the last token is."""
        if self._slots is None:
            prefixes.extend(track.names, track.tokens, track.root, PAGE_TOKENS, track.whole)
        return track.names[: (len(track.tokens) - 1) // PAGE_TOKENS]

    def _known(self, track: Track, names: Sequence[bytes]) -> int:
        """Return how many blocks are there, as far as what comes after them sees, in every pool.

        A piece of a prompt of which not all is there is read again.
        """
        best, runs = 0, [0] * len(self.pools)
        for block, name in enumerate(names):
            for index, (shape, pool) in enumerate(zip(self.shapes, self.pools, strict=True)):
                found = pool.find(name) is not None
                if not found and shape.window is None:
                    return best
                runs[index] = runs[index] + 1 if found else 0
            after = block + 1
            if self._between_pieces(track, after * PAGE_TOKENS) and all(
                run >= after - _first(shape, after)
                for run, shape in zip(runs, self.shapes, strict=True)
            ):
                best = after
        return best

    def _between_pieces(self, track: Track, length: int) -> bool:
        """Tell whether a sequence of which so many tokens are known may go on from there."""
        whole = track.whole is None or length < track.whole
        return not whole or length % self._piece == 0

    def _block(self, track: Track, index: int) -> Block:
        tokens = track.tokens[index * PAGE_TOKENS : (index + 1) * PAGE_TOKENS]
        before = prefixes.before(track.names, index, track.root, PAGE_TOKENS, track.whole)
        return Block(track.names[index], before, tokens)

    def _begun_alike(self, track: Track, known: int) -> tuple[bytes, int]:
        """Return the block that begins like what follows those known, and how many tokens do.

        Not in whole pieces, of which all is read or nothing; and the last token is read always.
        """
        begin = known * PAGE_TOKENS
        if self._slots is not None or track.whole is None or begin < track.whole:
            return b"", 0
        rest = track.tokens[begin : min(begin + PAGE_TOKENS, len(track.tokens) - 1)]
        before = prefixes.before(track.names, known, track.root, PAGE_TOKENS, track.whole)
        found = (
            (prefixes.alike(rest, block.tokens), block.name)
            for block in self.pools[0].after(before)
            if all(pool.find(block.name) is not None for pool in self.pools)
        )
        length, name = max(found, default=(0, b""))
        return (name, length) if length >= LEAST_COPIED else (b"", 0)

    def _copy(self, track: Track, known: int) -> int:
        """Have the page copied in which a sequence parts from another; return the tokens of it."""
        name, length = self._begun_alike(track, known)
        for index, (pool, table) in enumerate(zip(self.pools, track.tables, strict=True)):
            source = pool.find(name) if length else None
            if source is not None:
                self._grow(track, index, known * PAGE_TOKENS + length)
                self._copies.append(Copy(index, source, table[known]))
        return length

    def _share(self, track: Track, known: int) -> None:
        """Hold the pages of the first blocks."""
        track.tables, track.begun = [], []
        for shape, pool in zip(self.shapes, self.pools, strict=True):
            begun = _first(shape, known)
            table = [0] * begun
            for name in track.names[begun:known]:
                page = pool.find(name)
                if page is None:
                    raise LookupError("a block that was there is gone")
                pool.hold(page)
                table.append(page)
            track.tables.append(table)
            track.begun.append(begun)

    def _room(self, track: Track, others: int) -> bool:
        """Tell whether a sequence can come in while every other one takes a page more."""
        most = min(len(track.tokens) + 1, track.total)
        return all(
            shape.pages(most, self.most_tokens) - (len(table) - begun) + others <= pool.free
            for shape, pool, table, begun in zip(
                self.shapes, self.pools, track.tables, track.begun, strict=True
            )
        )

    def _grow(self, track: Track, index: int, tokens: int) -> None:
        table = track.tables[index]
        while len(table) < _blocks(tokens):
            table.append(self.pools[index].take())

    def _drop(self, track: Track) -> None:
        """Let go of what no later token reaches."""
        for index, shape in enumerate(self.shapes):
            reached = min(_first_reached(shape, track.computed), len(track.tables[index]))
            for block in range(track.begun[index], reached):
                self.pools[index].release(track.tables[index][block])
                track.tables[index][block] = 0
            track.begun[index] = max(track.begun[index], reached)

    def _give_back(self, track: Track) -> None:
        """Release every page, the last first: beginnings are of more use to others."""
        for pool, table, begun in zip(self.pools, track.tables, track.begun, strict=True):
            for page in reversed(table[begun:]):
                pool.release(page)
        track.tables, track.begun = [], []


def _blocks(tokens: int) -> int:
    return -(-tokens // PAGE_TOKENS)


def _first(shape: PoolShape, blocks: int) -> int:
    """Return the first block in reach of the token that comes after so many blocks."""
    return _first_reached(shape, blocks * PAGE_TOKENS)


def _first_reached(shape: PoolShape, position: int) -> int:
    """Return the first block that a token at a position, or a later one, sees."""
    if shape.window is None:
        return 0
    return max(0, position - shape.window + 1) // PAGE_TOKENS
