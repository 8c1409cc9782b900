"""Vectors in a prompt: a token's own vector says what the token says, another's does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fathom.errors import RequestError
from fathom.generation import modules
from fathom.generation.generate import Engine
from fathom.generation.inserts import (
    Extent,
    Insert,
    Placed,
    cut,
    inserts_at,
    placed,
    places_of,
    seen_by,
)
from fathom.generation.request import Request

from .conftest import Tiny

PLACEHOLDER = 3


def vectors_of(tiny: Tiny, *tokens: int) -> Tensor:
    return tiny.ours.embedding.tokens(torch.tensor(tokens))


def answer(tiny: Tiny, request: Request, runner: Engine | None = None) -> tuple[int, ...]:
    generation = (runner or tiny.engine()).generate(request)
    list(generation)
    return tuple(generation.tokens)


def test_vectors_of_tokens_say_what_the_tokens_say(tiny: Tiny, monkeypatch) -> None:
    """Also where they begin in one pass over the prompt and end in the next."""
    prompt = [5, 9, 17, 8, 30, 22, 41, 6]
    places = [PLACEHOLDER if place in (2, 3, 4, 6) else t for place, t in enumerate(prompt)]
    vectors = [vectors_of(tiny, 17, 8), vectors_of(tiny, 30, 41)]
    inserts = inserts_at(places, PLACEHOLDER, vectors)
    assert [(insert.start, insert.end) for insert in inserts] == [(2, 4), (4, 5), (6, 7)]
    told = Request(prompt, max_tokens=6)
    shown = Request(places, max_tokens=6, inserts=inserts)
    for chunk in (512, 3, 1):
        monkeypatch.setattr(modules, "CHUNK", chunk)
        assert answer(tiny, shown) == answer(tiny, told)
    assert answer(tiny, Request(places, max_tokens=6)) != answer(tiny, told)


def test_a_state_is_taken_up_where_the_same_vectors_stand(tiny: Tiny) -> None:
    places = [5, PLACEHOLDER, PLACEHOLDER, 8]
    one, other = torch.randn(2, tiny.ours.spec.width), torch.randn(2, tiny.ours.spec.width)
    runner = tiny.engine()
    first = Request(places, max_tokens=4, inserts=inserts_at(places, PLACEHOLDER, [one]))
    written = answer(tiny, first, runner)
    longer = [*places, *written, 9, 9]
    for vectors, reused in ((one, True), (other, False)):
        inserts = inserts_at(longer, PLACEHOLDER, [vectors])
        generation = runner.generate(Request(longer, max_tokens=4, inserts=inserts))
        list(generation)
        assert bool(generation.usage.reused_tokens) == reused
        assert tuple(generation.tokens) == answer(
            tiny, Request(longer, max_tokens=4, inserts=inserts)
        )
        answer(tiny, first, runner)


@pytest.mark.parametrize(
    ("start", "length", "fits"), [(0, 2, True), (2, 2, True), (3, 2, False), (-1, 1, False)]
)
def test_vectors_stand_within_the_prompt(start: int, length: int, fits: bool) -> None:
    insert = Insert(start, torch.zeros(length, 4), key=1)
    if fits:
        assert Request([1, 2, 3, 4], inserts=[insert]).inserts == (insert,)
        return
    with pytest.raises(RequestError, match="do not fit"):
        Request([1, 2, 3, 4], inserts=[insert])


def test_each_place_takes_one_vector() -> None:
    with pytest.raises(RequestError, match="2 places for 3 vectors"):
        inserts_at([1, 3, 3], PLACEHOLDER, [torch.zeros(3, 4)])
    assert inserts_at([1, 2], PLACEHOLDER, []) == ()


def test_each_mark_becomes_what_stands_there() -> None:
    """Marks of two kinds, in turn; between the vectors of one stand tokens of its own."""
    picture = Placed([7, 3, 3, 8, 3], 3, torch.rand(3, 4))
    sound = Placed([4, 4], 4, torch.rand(2, 4))
    prompt, inserts = placed([1, 5, 4, 2], {5: [picture], 4: [sound]})
    assert prompt == [1, 7, 3, 3, 8, 3, 4, 4, 2]
    assert [(one.start, one.end) for one in inserts] == [(2, 4), (5, 6), (6, 8)]
    assert torch.equal(torch.cat([one.vectors for one in inserts[:2]]), picture.vectors)
    with pytest.raises(RequestError, match="0 places for 1"):
        placed([1, 2], {5: [picture], 4: []})


def test_what_is_spread_over_rows_and_columns_stands_there() -> None:
    """Two frames of 2 × 3 places, three positions apart; what follows goes on behind a row."""
    prompt = [1, 1, *[PLACEHOLDER] * 12, 1, 1]
    (plain,) = inserts_at(prompt, PLACEHOLDER, [torch.rand(12, 4)])
    assert places_of([plain], 0, len(prompt)) is None
    spread = Insert(plain.start, plain.vectors, plain.key, Extent(2, 2, 3, interval=3.0))
    found = places_of([spread], 0, len(prompt))
    assert found is not None
    frames, rows, columns = found[:, 0].tolist()
    assert frames == [0, 1, *[2] * 6, *[5] * 6, 5, 6]
    assert rows == [0, 1, *[2, 2, 2, 3, 3, 3] * 2, 5, 6]
    assert columns == [0, 1, *[2, 3, 4] * 4, 5, 6]
    for start, length in ((0, 4), (3, 8), (13, 1), (14, 2), (15, 1)):
        part = places_of([spread], start, length)
        assert part is not None and torch.equal(part, found[..., start : start + length])


def test_tokens_that_see_one_another_are_in_one_pass() -> None:
    """However long a pass may be otherwise; each sees the last of its own, and no other."""
    vectors = torch.rand(3, 4)
    inserts = [
        Insert(2, vectors, 1, together=(2, 5)),
        Insert(7, vectors, 2, together=(7, 10)),
        Insert(11, vectors, 3),
    ]
    for chunk, passes in ((512, [14]), (4, [2, 4, 4, 4]), (3, [2, 3, 2, 3, 3, 1]), (1, None)):
        lengths = list(cut(inserts, 0, 14, chunk))
        assert sum(lengths) == 14
        assert passes is None or lengths == passes
        starts = [sum(lengths[:number]) for number in range(len(lengths))]
        assert not {3, 4, 8, 9} & set(starts)
    found = seen_by(inserts, 0, 14)
    assert found is not None and found[1] is None
    assert found[0][0].tolist() == [0, 1, 4, 4, 4, 5, 6, 9, 9, 9, 10, 11, 12, 13]
    assert seen_by(inserts, 10, 4) is None
    bound = [Insert(0, vectors, 1, together=(0, 5), bound=True)]
    ends, starts_of = seen_by(bound, 3, 4) or (None, None)
    assert ends is not None and ends[0].tolist() == [4, 4, 5, 6]
    assert starts_of is not None and starts_of[0].tolist() == [0, 0, 5, 6]
