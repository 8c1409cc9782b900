"""Repeats said once, and nothing lost by it."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.spec.folding import LONGEST_PATTERN, fold, spans, unfold

PERIODIC = st.builds(
    lambda head, pattern, times, tail: head + pattern * times + tail,
    st.text("abc", max_size=3),
    st.text("abc", min_size=1, max_size=6),
    st.integers(1, 9),
    st.text("abc", max_size=3),
)


@pytest.mark.parametrize(
    ("layers", "folded"),
    [
        ("", []),
        ("a", [(0, "a", 1)]),
        ("aaaaaaaa", [(0, "a", 8)]),
        ("daaaaaaa", [(0, "d", 1), (1, "a", 7)]),  # the first layers dense, then experts
        ("mmma" * 8, [(0, "mmma", 8)]),
        ("mmammmmammmmamm", [(0, "mmamm", 3)]),
        ("lllllg" * 4 + "ll", [(0, "lllllg", 4), (24, "l", 2)]),  # five local, one global
        ("ababcbab" * 4, [(0, "ababcbab", 4)]),  # Jamba's period
        ("aaabaab", [(0, "a", 1), (1, "aab", 2)]),  # a run stops early where a pattern begins
        ("abc", [(0, "a", 1), (1, "b", 1), (2, "c", 1)]),
    ],
)
def test_published_orders_of_layers(layers: str, folded: list[tuple[int, str, int]]) -> None:
    assert [(one.first, "".join(one.pattern), one.times) for one in fold(layers)] == folded


@given(PERIODIC)
def test_unfolding_gives_the_sequence_back(layers: str) -> None:
    folds = fold(layers)
    assert unfold(folds) == list(layers)
    places = [place for one in folds for place in range(one.first, one.last + 1)]
    assert places == list(range(len(layers)))


@given(PERIODIC)
def test_nothing_is_longer_than_counting_neighbours(layers: str) -> None:
    written = sum(len(one.runs) for one in fold(layers))
    assert written <= len(list(groupby(layers)))


@given(st.text("ab", min_size=1, max_size=8), st.integers(2, 6))
def test_a_repeated_pattern_is_written_once(pattern: str, times: int) -> None:
    written = sum(len(one.runs) for one in fold(pattern * times))
    assert written <= len(list(groupby(pattern)))


@given(PERIODIC)
def test_a_pattern_occurs_more_than_once(layers: str) -> None:
    assert all(one.times > 1 or len(one.pattern) == 1 for one in fold(layers))


def test_a_pattern_longer_than_any_published_is_still_right() -> None:
    long = [*range(LONGEST_PATTERN + 1)] * 2
    assert unfold(fold(long)) == long


@given(st.sets(st.integers(0, 30)))
def test_spans_name_every_position_once(positions: set[int]) -> None:
    ordered = sorted(positions)
    named: list[int] = []
    for span in filter(None, spans(ordered).split(", ")):
        first, _, last = span.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == ordered
    assert spans([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
