"""Sudoku of 4, 6 and 9 rows: reading, checking, solving by search, making, telling apart.

A grid is its cells row by row, 0 where one is to be found. Boxes are as square as they can be: 2
rows by 2 columns, 2 by 3, 3 by 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations, product
from math import isqrt
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fathom.errors import RequestError

Grid: TypeAlias = tuple[int, ...]

SIZES = (4, 6, 9)
BOX_ROWS = {4: 2, 6: 2, 9: 3}
EMPTY = ".0_"


def read(text: str) -> Grid:
    """Return the grid that a text writes cell by cell; spaces, bars and line ends are let pass.

    Raises:
        RequestError: for another number of cells, a sign that is none, or a contradiction.
    """
    signs = [sign for sign in text if not sign.isspace() and sign not in "|-+"]
    size = isqrt(len(signs))
    if size not in SIZES or size**2 != len(signs):
        raise RequestError(
            f"{len(signs)} cells are no sudoku: give {', '.join(str(n * n) for n in SIZES)} of"
            " them row by row, with 0 or . for what is to be found"
        )
    wrong = [sign for sign in signs if sign not in EMPTY and not _digit(sign, size)]
    if wrong:
        raise RequestError(f"{wrong[0]!r} is no cell of a sudoku with the digits 1 to {size}")
    grid = tuple(0 if sign in EMPTY else int(sign) for sign in signs)
    for group in groups(size):
        held = [grid[cell] for cell in group if grid[cell]]
        if len(held) > len(set(held)):
            twice = max(held, key=held.count)
            raise RequestError(
                f"{twice} stands twice in a row, column or box: nothing solves that; correct one"
            )
    return grid


def _digit(sign: str, size: int) -> bool:
    return sign.isascii() and sign.isdigit() and 1 <= int(sign) <= size


def write(grid: Sequence[int]) -> str:
    """Return a grid as a text, a line for each row, with a full stop for what is to be found."""
    size = isqrt(len(grid))
    signs = "".join(str(cell) if cell else "." for cell in grid)
    return "\n".join(signs[at : at + size] for at in range(0, len(signs), size))


@cache
def groups(size: int) -> tuple[tuple[int, ...], ...]:
    """Return the rows, columns and boxes, each as the numbers of its cells."""
    lines = [tuple(range(row * size, (row + 1) * size)) for row in range(size)]
    columns = [tuple(range(column, size * size, size)) for column in range(size)]
    high = BOX_ROWS[size]
    wide = size // high
    corners = product(range(0, size, high), range(0, size, wide))
    boxes = [
        tuple((top + row) * size + left + column for row in range(high) for column in range(wide))
        for top, left in corners
    ]
    return (*lines, *columns, *boxes)


def solved(grid: Sequence[int], givens: Sequence[int]) -> bool:
    """Return whether a grid is a solution: each group holds each digit, the givens are kept."""
    size = isqrt(len(grid))
    kept = all(given in (0, cell) for given, cell in zip(givens, grid, strict=True))
    whole = set(range(1, size + 1))
    return kept and all({grid[cell] for cell in group} == whole for group in groups(size))


def solutions(grid: Sequence[int], chance: Random | None = None) -> Iterator[Grid]:
    """Yield every solution, found by trying the cell with the fewest digits first.

    With `chance` digits are tried in a random order, so that the first is a random one.
    """
    size = isqrt(len(grid))
    yield from _search(list(grid), _peers(size), size, chance)


def _search(
    cells: list[int], peers: Sequence[frozenset[int]], size: int, chance: Random | None
) -> Iterator[Grid]:
    best: tuple[int, list[int]] | None = None
    for cell, digit in enumerate(cells):
        if digit:
            continue
        taken = {cells[peer] for peer in peers[cell]}
        free = [digit for digit in range(1, size + 1) if digit not in taken]
        if best is None or len(free) < len(best[1]):
            best = cell, free
        if len(free) <= 1:
            break
    if best is None:
        yield tuple(cells)
        return
    cell, free = best
    if chance is not None:
        chance.shuffle(free)
    for digit in free:
        cells[cell] = digit
        yield from _search(cells, peers, size, chance)
    cells[cell] = 0


@cache
def _peers(size: int) -> tuple[frozenset[int], ...]:
    """Return for each cell those that may not hold its digit."""
    return tuple(
        frozenset(other for group in groups(size) if cell in group for other in group) - {cell}
        for cell in range(size * size)
    )


def unique(grid: Sequence[int]) -> bool:
    """Return whether there is one solution and no second."""
    found = solutions(grid)
    return next(found, None) is not None and next(found, None) is None


def make(size: int, chance: Random, givens: int = 0) -> tuple[Grid, Grid]:
    """Return a puzzle with one solution, and that; no fewer than `givens` cells stay filled.

    Cells of a random full grid are emptied in random order wherever the solution stays the only
    one, so with no `givens` asked for every cell that stays is needed.
    """
    full = next(solutions((0,) * size**2, chance))
    puzzle = list(full)
    order = list(range(size**2))
    chance.shuffle(order)
    for cell in order:
        if size**2 - puzzle.count(0) <= givens:
            break
        puzzle[cell] = 0
        if not unique(puzzle):
            puzzle[cell] = full[cell]
    return tuple(puzzle), full


def canonical(full: Grid) -> Grid:
    """Return the one full grid that stands for all that are the same but for names and order.

    The first, in the order of digits, of all that come of renaming digits, of changing the order
    of bands, of rows in a band, of stacks and of columns in a stack, and where boxes are square
    of turning rows into columns.
    """
    cells = np.array(full, dtype=np.uint8).reshape(isqrt(len(full)), -1)
    high, wide = BOX_ROWS[len(cells)], len(cells) // BOX_ROWS[len(cells)]
    columns = np.array(_orders(len(cells), wide))
    both = (cells, cells.T) if high == wide else (cells,)
    rows = _orders(len(cells), high)
    return min(_first(grid[list(down)][:, columns]) for grid in both for down in rows)


def _first(grids: NDArray[np.uint8]) -> Grid:
    """Return the first of many grids, (size, grids, size), with digits renamed as they come.

    The first row holds each digit once, so a digit's new name is its place there.
    """
    size, count, _ = grids.shape
    names = np.argsort(grids[0], axis=1).astype(np.uint8) + 1
    flat = grids.transpose(1, 0, 2).reshape(count, size * size)
    renamed = np.take_along_axis(names, flat.astype(np.intp) - 1, axis=1)
    return tuple(min(map(bytes, renamed)))


@cache
def _orders(size: int, together: int) -> tuple[tuple[int, ...], ...]:
    """Return the orders of lines that keep each `together` of them side by side."""
    bands = range(size // together)
    inner = tuple(permutations(range(together)))
    return tuple(
        tuple(
            band * together + line
            for band, lines in zip(order, within, strict=True)
            for line in lines
        )
        for order in permutations(bands)
        for within in product(inner, repeat=len(bands))
    )
