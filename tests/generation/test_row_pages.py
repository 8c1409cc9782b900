"""Pages of rows that go on from one another: each row finds what it wrote, whoever shares it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.errors import ContextLengthError
from fathom.generation.row_pages import RowPages
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import Plan, PoolShape
from fathom.programs.steps import Heads, Place, Rows

LAYERS = (64, 192)  # bytes of each layer in a page
CAPACITY = 3 * PAGE_TOKENS - 5


def plan() -> Plan:
    """Two layers in one pool, and a source's pool that is not the rows' own."""
    places = []
    offset = 0
    for size in LAYERS:
        places.append(Place(Heads("rows", 1, 1, 8, 1, offset, "float32")))
        offset += size
    pools = (PoolShape(None, 64, source=True), PoolShape(None, offset))
    return Plan({"rows": Rows(24)}, tuple(places), pools, 0, 0)


def write(pages: RowPages, row: int, position: int, layer: int, mark: int) -> None:
    found = cell(pages, row, position, layer)
    found[position % PAGE_TOKENS] = mark


def cell(pages: RowPages, row: int, position: int, layer: int) -> np.ndarray:
    """The bytes of a layer in the page of a row's position, as a program finds them."""
    (held,) = pages.pages
    count = len(held) // sum(LAYERS)
    begin = sum(LAYERS[:layer]) * count
    page = int(pages.table[row, position // PAGE_TOKENS])
    return held[begin + page * LAYERS[layer] : begin + (page + 1) * LAYERS[layer]]


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 5), data=st.data())
def test_rows_find_what_they_wrote(rows: int, data: st.DataObject) -> None:
    pages = RowPages(plan(), rows=rows, capacity=CAPACITY)
    written: list[list[int]] = [[] for _ in range(rows)]
    mark = 0
    while pages.used < CAPACITY:
        count = min(data.draw(st.integers(1, 40)), CAPACITY - pages.used)
        start = pages.advance(count)
        for row in range(rows):
            for position in range(start, start + count):
                mark = mark % 250 + 1
                written[row].append(mark)
                for layer in range(len(LAYERS)):
                    write(pages, row, position, layer, mark)
        order = data.draw(st.lists(st.integers(0, rows - 1), min_size=rows, max_size=rows))
        pages.reorder(order)
        written = [list(written[row]) for row in order]
        for row in range(rows):
            for position, own in enumerate(written[row]):
                for layer in range(len(LAYERS)):
                    assert cell(pages, row, position, layer)[position % PAGE_TOKENS] == own


def test_what_does_not_fit_is_refused_and_room_is_found_again() -> None:
    pages = RowPages(plan(), rows=2, capacity=40)
    assert pages.nbytes == 2 * 2 * sum(LAYERS)
    assert pages.advance(40) == 0
    with pytest.raises(ContextLengthError, match="41 tokens do not fit"):
        pages.advance(1)
    pages.reset()
    assert pages.advance(40) == 0
