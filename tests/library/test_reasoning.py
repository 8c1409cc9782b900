"""Reasoning, from a folder on disk to the parts of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom import library
from fathom.errors import RequestError
from fathom.library import TextModel
from library.tiny import FIRST, THINK, make

CLOSE = FIRST + 1


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    folder = make(tmp_path_factory.mktemp("thinker") / "tiny", added=THINK)
    return library.open(str(folder), dtype="float32", device="cpu")


@pytest.mark.parametrize("budget", [0, 4])
def test_a_budget_ends_what_the_prompt_began(thinker: TextModel, budget: int) -> None:
    generation = thinker.generate("Why?<think>", max_tokens=20, reasoning_budget=budget)
    pieces = list(generation)
    assert generation.tokens[budget] == CLOSE
    assert generation.usage.reasoning_tokens == budget
    assert generation.text == "".join(pieces)
    assert generation.reasoning == "".join(piece.reasoning for piece in pieces).strip()
    assert bool(generation.reasoning) == (budget > 0)


def test_reasoning_without_a_budget_goes_on(thinker: TextModel) -> None:
    free = thinker.generate("Why?<think>", max_tokens=20)
    bounded = thinker.generate("Why?<think>", max_tokens=20, reasoning_budget=4)
    list(free), list(bounded)
    assert free.tokens[:4] == bounded.tokens[:4]
    assert free.usage.reasoning_tokens > 4


def test_a_chat_takes_a_budget_too(thinker: TextModel) -> None:
    messages = [{"role": "user", "content": "Why?<think>"}]
    generation = thinker.chat(messages, max_tokens=8, reasoning_budget=2)
    list(generation)
    assert generation.usage.completion_tokens <= 8


def test_a_model_without_reasoning_has_no_budget_for_it(tmp_path: Path) -> None:
    model = library.open(str(make(tmp_path / "tiny")), device="cpu")
    answer = model.generate("Why?", max_tokens=3)
    list(answer)
    assert (answer.reasoning, answer.usage.reasoning_tokens) == ("", 0)
    with pytest.raises(RequestError, match="marks no reasoning"):
        model.generate("Why?", reasoning_budget=4)
