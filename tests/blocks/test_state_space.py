"""Recurrent mixers: padding anywhere, in any number of steps, changes nothing."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fathom.blocks.build import build
from fathom.blocks.state import MixerState, Passing, Step
from fathom.ops.attention import Scoring
from fathom.spec.parts import Norm
from fathom.spec.state_space import Convolution, DeltaRule, Mamba, Mamba2, Recurrence

WIDTH = 8
MIXERS: dict[type, Recurrence] = {
    Mamba: Mamba(WIDTH, 12, 4, 3, Convolution(12, 4)),
    Mamba2: Mamba2(WIDTH, 4, 3, 2, 5, Convolution(12 + 2 * 2 * 5, 4), Norm(12, 1e-5, groups=2)),
    DeltaRule: DeltaRule(WIDTH, 2, 6, 4, 5, Convolution(2 * 12 + 20, 4, bias=False), Norm(5, 1e-5)),
}


class Kept:
    """The simplest state: arrays by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, Tensor] = {}

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        raise NotImplementedError("a recurrence does not attend")

    def recall(self, name: str) -> Tensor | None:
        return self.arrays.get(name)

    def remember(self, name: str, value: Tensor) -> None:
        self.arrays[name] = value.clone()


def _filled(kind: type) -> nn.Module:
    torch.manual_seed(4)
    module = build(MIXERS[kind])
    assert isinstance(module, nn.Module)
    for parameter in module.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape)
    return module


def test_every_recurrence_is_here() -> None:
    assert set(MIXERS) == set(get_args(Recurrence))


@pytest.mark.parametrize("kind", MIXERS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=40)
@given(real=st.lists(st.booleans(), min_size=1, max_size=14), cut=st.integers(0, 14))
def test_padding_is_passed_over_wherever_it_stands(kind: type, real: list[bool], cut: int) -> None:
    mixer, mask = _filled(kind), torch.tensor([real])
    x = torch.randn(1, len(real), WIDTH)
    tokens = x[mask][None]
    if not tokens.numel():
        return
    alone = mixer(tokens, Step.dense(1, 0, tokens.shape[1], x.device), Passing())
    state: MixerState = Kept()
    results, before = [], 0
    for span in (slice(0, cut), slice(cut, None)):
        seen = mask[:, span]
        if seen.shape[1]:
            step = Step.padded(seen, torch.tensor([[before]]))
            results.append(mixer(x[:, span], step, state))
            before += int(seen.sum())
    found = torch.cat(results, dim=1)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[mask][None], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MIXERS, ids=lambda kind: kind.__name__)
def test_the_state_is_of_the_stated_shapes_and_types(kind: type) -> None:
    state = Kept()
    x = torch.randn(3, 5, WIDTH)
    _filled(kind)(x, Step.dense(3, 0, 5, x.device), state)
    stated = {array.name: (3, *array.shape) for array in MIXERS[kind].state(100)}
    assert {name: tuple(array.shape) for name, array in state.arrays.items()} == stated
    exact = {array.name for array in MIXERS[kind].state(1) if array.exact}
    assert exact == {"memory"}
