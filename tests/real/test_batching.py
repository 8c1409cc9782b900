"""A real model for many at once: every answer is the one that it gives when it is asked alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom import library
from fathom.generation.batching.engine import Bounds
from fathom.generation.request import Request, Sampling
from fathom.library.text import TextModel, text_of

PAGES = 12  # of 32 tokens: too few for all, so that some are put back


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> TextModel:
    return text_of(library.open(str(smollm2_path), device="cpu"))


def requests(model: TextModel, wikitext: str) -> list[Request]:
    """Sixteen passages of several lengths; every third goes on from what another begins with."""
    ids = model.tokenizer.encode(wikitext[:40_000], add_special=False)
    drawn = Sampling(temperature=0.8, top_p=0.9, seed=4)
    found = []
    for index in range(16):
        own = ids[200 * index : 200 * index + 5 + 11 * index]
        prompt = (*ids[:96], *own) if index % 3 == 0 else tuple(own)
        sampling = drawn if index % 4 == 1 else Sampling()
        most = 90 if index % 4 == 3 else 60
        found.append(Request(prompt, max_tokens=most, end=frozenset(), sampling=sampling))
    return found


@pytest.mark.slow
def test_an_answer_is_the_same_among_fifteen_others(model: TextModel, wikitext: str) -> None:
    """With prefixes that are shared, too few pages for all, and every fifth given up."""
    asked = requests(model, wikitext)
    engine = model.batching(Bounds(2**28))
    alone = []
    for index, request in enumerate(asked):
        handle = engine.submit(request, salt=str(index))
        list(handle)
        alone.append(tuple(handle.tokens))
    engine.close()
    assert model.program is not None
    memory = PAGES * sum(pool.page_bytes for pool in model.program.plan.pools)
    engine = model.batching(Bounds(memory))
    handles = [engine.submit(request) for request in asked]
    for handle in handles[::5]:
        next(handle)
        handle.cancel()
    for index, (handle, tokens) in enumerate(zip(handles, alone, strict=True)):
        if index % 5:
            list(handle)
            assert tuple(handle.tokens) == tokens
    figures = engine.figures()
    engine.close()
    assert figures.preemptions > 0
    assert figures.reused_tokens > 0


@pytest.mark.slow
def test_a_schema_is_kept(model: TextModel) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    asked = [{"role": "user", "content": "Describe a person as JSON with a name and an age."}]
    answer = model.chat(asked, schema=schema, max_tokens=60)
    assert "".join(answer) == answer.text
    found = json.loads(answer.text)
    assert set(found) == {"name", "age"}
    assert answer.finish_reason == "stop"
