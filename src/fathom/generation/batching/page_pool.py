"""Pages of one size: who holds each, which hold a block that is known, which is given away next."""

from __future__ import annotations

from collections import OrderedDict


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
        self._names: dict[int, bytes] = {}

    @property
    def free(self) -> int:
        """Pages that can be taken, idle ones among them."""
        return self.count - len(self._holders)

    @property
    def known(self) -> int:
        """Pages that hold a block with a name."""
        return len(self._names)

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

    def name(self, page: int, name: bytes) -> None:
        """Let a held page be found; where another holds the same block already, that one is."""
        if name not in self._pages and page not in self._names:
            self._pages[name] = page
            self._names[page] = name

    def forget(self, page: int) -> None:
        """Let a page be found no more."""
        name = self._names.pop(page, None)
        if name is not None:
            del self._pages[name]

    def release(self, page: int) -> None:
        """Hold a page once less; the last one leaves it idle, or blank where it has no name."""
        left = self._holders[page] - 1
        if left:
            self._holders[page] = left
            return
        del self._holders[page]
        if page in self._names:
            self._idle[page] = None
        else:
            self._blank.append(page)
