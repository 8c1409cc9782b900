"""Sudoku: what is read and refused, what solves it, how many, and which grids are one grid."""

from __future__ import annotations

from itertools import permutations, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.errors import RequestError
from fathom.inputs import sudoku

PUZZLE = "1... ..3. .4.. ...2"
SOLUTION = (1, 3, 2, 4, 4, 2, 3, 1, 2, 4, 1, 3, 3, 1, 4, 2)


def test_a_puzzle_is_read_however_its_cells_are_set() -> None:
    plain = sudoku.read("1000003004000002")
    assert sudoku.read(PUZZLE) == plain
    assert sudoku.read("1.|..\n..|3.\n--+--\n.4|..\n..|.2\n") == plain
    assert sudoku.read(sudoku.write(plain)) == plain


REFUSED = {
    "too few cells": ("1234", "4 cells"),
    "five rows": ("." * 25, "25 cells"),
    "no cells": ("", "0 cells"),
    "a letter": ("x" + "." * 15, "'x'"),
    "a digit beyond": ("5" + "." * 15, "'5'"),
    "a digit of another script": ("٣" + "." * 15, "'٣'"),
    "twice in a row": ("11" + "." * 14, "1 stands twice"),
    "twice in a box": ("1....1" + "." * 10, "1 stands twice"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_puzzle_is_refused(fault: str) -> None:
    text, word = REFUSED[fault]
    with pytest.raises(RequestError, match=word):
        sudoku.read(text)


@pytest.mark.parametrize("size", sudoku.SIZES)
def test_every_group_is_a_row_a_column_or_a_box(size: int) -> None:
    groups = sudoku.groups(size)
    assert len(set(groups)) == 3 * size
    assert all(len(set(group)) == size for group in groups)
    counted = [cell for group in groups for cell in group]
    assert all(counted.count(cell) == 3 for cell in range(size * size))


def test_there_are_288_grids_of_four_rows_and_two_classes_of_them() -> None:
    grids = list(sudoku.solutions((0,) * 16))
    assert len(set(grids)) == 288  # Taalman, 2007, "Taking sudoku seriously"
    assert len({sudoku.canonical(grid) for grid in grids}) == 2
    assert all(sudoku.solved(grid, (0,) * 16) for grid in grids)


@given(seed=st.integers(0, 2**32), givens=st.integers(0, 36))
def test_a_made_puzzle_has_the_one_solution_that_comes_with_it(seed: int, givens: int) -> None:
    puzzle, full = sudoku.make(6, Random(seed), givens)
    assert list(sudoku.solutions(puzzle)) == [full]
    assert sudoku.unique(puzzle)
    assert sudoku.solved(full, puzzle)
    assert 36 - puzzle.count(0) >= givens
    wrong = (full[1], full[0], *full[2:])
    assert not sudoku.solved(wrong, (0,) * 36)


def test_a_changed_given_is_no_solution() -> None:
    puzzle = sudoku.read(PUZZLE)
    assert sudoku.solved(SOLUTION, puzzle)
    other = next(grid for grid in sudoku.solutions((0,) * 16) if grid[0] != 1)
    assert not sudoku.solved(other, puzzle)


@given(seed=st.integers(0, 2**32), data=st.data())
def test_grids_that_differ_by_names_and_order_are_one(seed: int, data: st.DataObject) -> None:
    size, high = data.draw(st.sampled_from([(4, 2), (6, 2)]))
    _, full = sudoku.make(size, Random(seed), givens=size * size)
    names = data.draw(st.permutations(range(1, size + 1)))
    rows = data.draw(st.sampled_from(_orders(size, high)))
    columns = data.draw(st.sampled_from(_orders(size, size // high)))
    moved = tuple(names[full[row * size + column] - 1] for row in rows for column in columns)
    assert sudoku.solved(moved, (0,) * size**2)
    assert sudoku.canonical(moved) == sudoku.canonical(full)


def _orders(size: int, together: int) -> list[list[int]]:
    """Return the orders of lines that keep a band's lines together, counted out once more."""
    bands = [range(at, at + together) for at in range(0, size, together)]
    inner = product(*(permutations(band) for band in bands))
    return [
        [line for band in order for line in band] for each in inner for order in permutations(each)
    ]
