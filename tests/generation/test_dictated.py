"""Texts that are dictated to a model, and the stop text that ended one."""

from __future__ import annotations

import pytest
import torch

from fathom.generation.request import Request
from generation.conftest import Tiny


def test_what_is_dictated_is_written_and_scored(tiny: Tiny) -> None:
    text = tuple(b"Once upon a time")
    request = Request(
        text[:1], dictated=text[1:], max_tokens=len(text) - 1, end=frozenset(), logprobs=1
    )
    generation = tiny.engine().generate(request)
    assert "".join(generation).encode() == bytes(text[1:])
    scores = torch.log_softmax(tiny.ours(torch.tensor([text])).float(), dim=-1)[0]
    expected = [scores[at, token].item() for at, token in enumerate(text[1:])]
    assert [one.logprob for one in generation.logprobs or ()] == pytest.approx(expected, abs=1e-4)
    longer = tiny.engine().generate(Request(text[:1], dictated=text[1:], max_tokens=len(text) + 2))
    free = tiny.engine().generate(Request(text, max_tokens=3))
    assert "".join(longer).removeprefix("nce upon a time") == "".join(free)


def test_which_stop_text_ended_it_is_told(tiny: Tiny) -> None:
    said = "".join(tiny.engine().generate(Request((79,), max_tokens=12, end=frozenset())))
    stopped = tiny.engine().generate(
        Request((79,), max_tokens=12, end=frozenset(), stop=("never", said[4:6]))
    )
    assert "".join(stopped) == said[: said.index(said[4:6])]
    assert stopped.stop == said[4:6]
    whole = tiny.engine().generate(Request((79,), max_tokens=3, stop=("never",)))
    list(whole)
    assert whole.stop is None
