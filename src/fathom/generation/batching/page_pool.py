"""Pages of one size: who holds each, which hold a block that is known, which is given away next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

MOST_SIBLINGS = 16  # blocks after the same beginning that are looked at, the newest first


@dataclass(frozen=True, slots=True)
class Block:
    """What a page holds: its name, what all that may come in its place follow, and its tokens."""

    name: bytes
    before: bytes
    tokens: Sequence[int]


class PagePool:
    """`count` pages, numbered from 0.

    A page is blank, held by one or more sequences, or idle: held by nobody, but with a block
    that has a name, to be found again. When no blank ones are left, the page that was idle for
    longest is blank again.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._untouched = 0  # pages from here on were never held: their memory is not taken yet
        self._blank: list[int] = []
        self._holders: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._pages: dict[bytes, int] = {}  # by the name of what they hold
        self._blocks: dict[int, Block] = {}
        self._siblings: dict[bytes, dict[int, None]] = {}  # pages by what their blocks follow

    @property
    def free(self) -> int:
        """Pages that can be taken, idle ones among them."""
        return self.count - len(self._holders)

    @property
    def known(self) -> int:
        """Pages that hold a block with a name."""
        return len(self._blocks)

    def take(self) -> int:
        """Return a page to be written, held once.

        Raises:
            IndexError: when none is free; look at `free` before.
        """
        if self._blank:
            page = self._blank.pop()
        elif self._untouched < self.count:
            page = self._untouched
            self._untouched += 1
        elif self._idle:
            page, _ = self._idle.popitem(last=False)
            self.forget(page)
        else:
            raise IndexError("no page is free")
        self._holders[page] = 1
        return page

    def find(self, name: bytes) -> int | None:
        """Return the page that holds a block, or None."""
        return self._pages.get(name)

    def hold(self, page: int) -> None:
        """Hold a page that was found, once more."""
        self._idle.pop(page, None)
        self._holders[page] = self._holders.get(page, 0) + 1

    def holders(self, page: int) -> int:
        """Return how many hold a page."""
        return self._holders.get(page, 0)

    def name(self, page: int, block: Block) -> None:
        """Let a held page be found; where another holds the same block already, that one is."""
        if block.name not in self._pages and page not in self._blocks:
            self._pages[block.name] = page
            self._blocks[page] = block
            self._siblings.setdefault(block.before, {})[page] = None

    def after(self, before: bytes) -> Iterator[Block]:
        """Yield the newest blocks that follow the same."""
        pages = reversed(self._siblings.get(before, {}))
        return (self._blocks[page] for page in islice(pages, MOST_SIBLINGS))

    def forget(self, page: int) -> None:
        """Let a page be found no more."""
        block = self._blocks.pop(page, None)
        if block is None:
            return
        del self._pages[block.name]
        siblings = self._siblings[block.before]
        del siblings[page]
        if not siblings:
            del self._siblings[block.before]

    def release(self, page: int) -> None:
        """Hold a page once less; the last one leaves it idle, or blank where it has no name."""
        left = self._holders[page] - 1
        if left:
            self._holders[page] = left
            return
        del self._holders[page]
        if page in self._blocks:
            self._idle[page] = None
        else:
            self._blank.append(page)
