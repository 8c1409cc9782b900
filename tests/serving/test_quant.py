"""Weights packed as they are loaded: what is written, what is predicted, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom import library
from fathom.errors import RequestError
from fathom.generation.results import Generation
from fathom.planning.grouping import GROUPS
from fathom.serving.allotting import allot
from fathom.serving.limits import USUAL
from fathom.serving.shelf import Shelf
from serving.conftest import Start, long_answer

ROOM = 2 * 10**9


@pytest.mark.parametrize("quant", GROUPS)
def test_answers_are_those_of_packed_weights(start: Start, tiny_chat: Path, quant: str) -> None:
    def expected(quant: str | None) -> list[float]:
        model = library.open(str(tiny_chat), quant=quant)
        asked = {"max_tokens": 8, "temperature": 0.0, "logprobs": 0}
        generation = model.chat([{"role": "user", "content": "hello"}], **asked)
        assert isinstance(generation, Generation)
        list(generation)
        return [each.logprob for each in generation.logprobs or ()]

    with start(quant=quant) as serving, serving.client() as client:
        body = {"model": serving.model, **long_answer(8), "temperature": 0, "logprobs": True}
        found = client.post("/v1/chat/completions", json=body).raise_for_status().json()
        fit = client.get("/v1/fit", params={"model": serving.model}).json()
        (resident,) = serving.house.resident()
    told = [each["logprob"] for each in found["choices"][0]["logprobs"]["content"]]
    assert told == pytest.approx(expected(quant), abs=1e-6)
    assert told != pytest.approx(expected(None), abs=1e-6)
    assert fit["weights"] == quant
    assert resident.memory_bytes == _taken(tiny_chat, quant) < _taken(tiny_chat, None)


def _taken(folder: Path, quant: str | None) -> int:
    card = library.describe(str(folder))
    return allot(card, ROOM, context=None, quant=quant, limits=USUAL).total_bytes


def test_what_cannot_be_packed_is_refused_where_it_is_named(
    tiny_chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = "smollm2:135m"  # in blocks already
    assert [one.name for one in Shelf.of([str(tiny_chat)], "int8").offered()] == [str(tiny_chat)]
    with pytest.raises(RequestError, match="plain numbers"):
        Shelf.of([str(tiny_chat), stored], "int8").offered()
    monkeypatch.setattr("fathom.serving.shelf.kept", lambda: [stored, str(tiny_chat)])
    assert [one.name for one in Shelf.of([], "int8").offered()] == [str(tiny_chat)]
    assert len(Shelf.of([]).offered()) == 2
    with pytest.raises(RequestError, match="int8 or int4"):
        Shelf.of([], "int9")
