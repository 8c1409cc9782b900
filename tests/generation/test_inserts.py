"""Vectors in a prompt: a token's own vector says what the token says, another's does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fathom.errors import RequestError
from fathom.generation import modules
from fathom.generation.generate import Engine
from fathom.generation.inserts import Insert, inserts_at
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
