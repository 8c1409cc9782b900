"""Stop texts, held to the plain definition: cut where the first one is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.generation.stopping import Stopper

TEXT = st.text("abc", max_size=30)
STOPS = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4)


def cut(text: str, stops: list[str]) -> str:
    """Read letter by letter; end before the longest stop text that is complete."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(st.lists(TEXT, max_size=8), STOPS)
def test_any_pieces_give_the_text_cut_at_the_first_stop(
    pieces: list[str], stops: list[str]
) -> None:
    stopper, text = Stopper(stops), "".join(pieces)
    emitted = ""
    for index, piece in enumerate(pieces):
        emitted += stopper.push(piece)
        so_far = "".join(pieces[: index + 1])
        assert cut(so_far, stops).startswith(emitted)
        if not stopper.stopped:  # nothing is held back without need
            held = so_far[len(emitted) :]
            assert not held or any(stop.startswith(held) for stop in stops)
    emitted += stopper.flush()
    assert emitted == cut(text, stops)
    assert stopper.stopped == any(stop in text for stop in stops)


@given(TEXT, STOPS)
def test_the_pieces_do_not_matter(text: str, stops: list[str]) -> None:
    whole, letters = Stopper(stops), Stopper(stops)
    at_once = whole.push(text) + whole.flush()
    one_by_one = "".join([*map(letters.push, text), letters.flush()])
    assert at_once == one_by_one


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["Hello wo", "rld"], ["world"], ["Hello ", "", ""]),
        (["Hello wo", "nder"], ["world"], ["Hello ", "wonder", ""]),
        (["ab"], ["abc"], ["", "ab"]),
        (["x", "y"], [], ["x", "y", ""]),
        (["end", "more"], ["nd"], ["e", "", ""]),
    ],
)
def test_what_is_let_through_when(pieces: list[str], stops: list[str], expected: list[str]) -> None:
    stopper = Stopper(stops)
    assert [*map(stopper.push, pieces), stopper.flush()] == expected
