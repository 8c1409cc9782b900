"""Texts of several asks in one pass, and models that answer one at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fathom.errors import BusyError, ContextLengthError, RequestError
from fathom.serving.alone import Alone
from fathom.serving.gathering import MOST_TEXTS, Gatherer
from waiting import LONGEST, wait_for


class Slow:
    """A model whose vectors are the lengths of texts; its first pass waits to be let go."""

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.go = threading.Event()

    def embed(self, texts: Sequence[str], **options: object) -> np.ndarray:
        self.passes.append(len(texts))
        self.go.wait(LONGEST)
        if any(len(text) > 50 for text in texts):
            raise ContextLengthError("too long; shorten it")
        return np.array([[len(text), len(options)] for text in texts], dtype=np.float32)


def gathered(model: Slow, asks: Sequence[tuple[list[str], dict[str, object]]]) -> list[object]:
    """Embed asks that all wait together behind a first one."""
    gatherer = Gatherer(Alone(100, "tests"), model)

    def ask(one: tuple[list[str], dict[str, object]]) -> object:
        try:
            return gatherer.embed(*one)
        except ContextLengthError as error:
            return error

    with ThreadPoolExecutor(len(asks) + 1) as pool:
        first = pool.submit(ask, (["first"], {}))
        wait_for(lambda: model.passes)
        rest = [pool.submit(ask, each) for each in asks]
        wait_for(lambda: len(gatherer._waiting) == len(asks))
        model.go.set()
        return [each.result(LONGEST) for each in (first, *rest)]


def test_what_waits_goes_together_and_each_gets_its_own() -> None:
    model = Slow()
    found = gathered(model, [(["a" * n, "b"], {}) for n in range(1, 9)])
    assert model.passes == [1, 16]
    assert sorted(int(each[0][0]) for each in found[1:]) == list(range(1, 9))


def test_only_like_asks_go_together_and_a_pass_is_bounded() -> None:
    model = Slow()
    large = [["a"] * (MOST_TEXTS // 2 + 1)] * 2
    found = gathered(model, [(["a"], {"normalise": True}), *((each, {}) for each in large)])
    assert model.passes[0] == 1 and sorted(model.passes[1:]) == [1, len(large[0]), len(large[0])]
    assert [len(each) for each in found] == [1, 1, len(large[0]), len(large[0])]


def test_one_ask_s_fault_is_not_the_others() -> None:
    found = gathered(Slow(), [(["a"], {}), (["a" * 60], {}), (["bb"], {})])
    assert [type(each) for each in found[1:]].count(ContextLengthError) == 1
    assert sorted(int(each[0][0]) for each in found[1:] if isinstance(each, np.ndarray)) == [1, 2]


def test_a_line_is_bounded() -> None:
    alone, go = Alone(2, "tests"), threading.Event()
    held = [alone.submit(lambda: go.wait(LONGEST)) for _ in range(3)]
    with pytest.raises(BusyError):
        alone.submit(lambda: None)
    go.set()
    assert all(each.result(LONGEST) for each in held)
    with pytest.raises(RequestError):
        alone.submit(_refuse).result(LONGEST)
    assert alone.submit(lambda: 5).result(LONGEST) == 5


def _refuse() -> None:
    raise RequestError("no; ask for something else")
