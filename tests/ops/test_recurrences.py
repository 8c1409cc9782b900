"""Every recurrence by chunks, in pieces and token by token; convolutions past any padding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fathom.ops import delta_rule, selective_scan, state_space_duality
from fathom.ops.choose import Operation
from fathom.ops.convolution import causal_convolution

Arguments = tuple[Tensor, ...]  # the last one is the memory; the others run along the sequence


def _selective(length: int, pace: float) -> Arguments:
    x, time_step = torch.randn(2, length, 6), pace * torch.rand(2, length, 6)
    decay, write, read = -torch.rand(6, 4), torch.randn(2, length, 4), torch.randn(2, length, 4)
    return x, time_step, decay, write, read, torch.randn(2, 6, 4)


def _dual(length: int, pace: float) -> Arguments:
    x, time_step = torch.randn(2, length, 6, 5), pace * torch.rand(2, length, 6)
    write, read = torch.randn(2, length, 3, 4), torch.randn(2, length, 3, 4)
    return x, time_step, -torch.rand(6), write, read, torch.randn(2, 6, 5, 4)


def _delta(length: int, pace: float) -> Arguments:
    query, key = (delta_rule.unit(torch.randn(2, 3, length, 8)) for _ in range(2))
    value, rate = torch.randn(2, 3, length, 5), -pace * torch.rand(2, 3, length)
    return query, key, value, rate, torch.rand(2, 3, length), torch.randn(2, 3, 8, 5)


# Operation, arguments for it, the axis that the sequence runs along, and arguments without one.
RECURRENCES: dict[str, tuple[Operation, Callable[[int, float], Arguments], int, set[int]]] = {
    "selective scan": (selective_scan.selective_scan, _selective, 1, {2}),
    "duality": (state_space_duality.state_space_duality, _dual, 1, {2}),
    "delta rule": (delta_rule.delta_rule, _delta, 2, set()),
}
NAMES = sorted(RECURRENCES)
paces = st.sampled_from([0.01, 1.0, 20.0])  # how fast a memory fades


def _close(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    for mine, exact in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), exact.double(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(length=st.integers(2, 150), pace=paces)
def test_chunks_equal_the_recurrence(name: str, length: int, pace: float) -> None:
    torch.manual_seed(length)
    operation, make, _, _ = RECURRENCES[name]
    arguments = make(length, pace)
    exact = operation.reference(*(t.double() for t in arguments))
    _close(operation.variants[0].run(*arguments), exact)
    _close(operation.reference(*arguments), exact)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(1, 89), max_size=4, unique=True))
def test_pieces_equal_the_whole(name: str, cuts: list[int]) -> None:
    torch.manual_seed(len(cuts))
    operation, make, axis, still = RECURRENCES[name]
    *along, memory = make(90, 1.0)
    whole = operation(*along, memory)
    results = []
    for begin, end in pairwise([0, *sorted(cuts), 90]):
        piece = [
            t if index in still else t.narrow(axis, begin, end - begin)
            for index, t in enumerate(along)
        ]
        result, memory = operation(*piece, memory)
        results.append(result)
    _close((torch.cat(results, dim=axis), memory), whole)


def test_the_selective_scan_equals_a_loop_over_numbers() -> None:
    x, time_step, decay, write, read, memory = (t.double() for t in _selective(9, 1.0))
    result, after = selective_scan.selective_scan(x, time_step, decay, write, read, memory)
    for batch in range(2):
        for channel in range(6):
            h = memory[batch, channel].tolist()
            for t in range(9):
                delta, value = time_step[batch, t, channel].item(), x[batch, t, channel].item()
                for n in range(4):
                    fade = torch.exp(delta * decay[channel, n]).item()
                    h[n] = fade * h[n] + delta * value * write[batch, t, n].item()
                y = sum(h[n] * read[batch, t, n].item() for n in range(4))
                assert y == pytest.approx(result[batch, t, channel].item(), abs=1e-9)
            assert h == pytest.approx(after[batch, channel].tolist(), abs=1e-9)


def test_a_chunk_in_place_gives_way_to_a_gradient() -> None:
    arguments = _selective(5, 1.0)
    scan = selective_scan.selective_scan
    assert scan.variants[0].refuses(*arguments) is None
    wanted = (arguments[0].requires_grad_(), *arguments[1:])
    assert "gradient" in str(scan.variants[0].refuses(*wanted))
    scan(*wanted)[0].sum().backward()
    assert wanted[0].grad is not None


@pytest.mark.parametrize("kernel", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_equals_torchs(kernel: int, bias: bool) -> None:
    x, weight = torch.randn(2, 11, 6), torch.randn(6, kernel)
    offset = torch.randn(6) if bias else None
    result, after = causal_convolution(x, weight, offset, torch.zeros(2, kernel - 1, 6))
    padded = functional.pad(x.transpose(1, 2), (kernel - 1, 0))
    expected = functional.conv1d(padded, weight[:, None], offset, groups=6).transpose(1, 2)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(after, x[:, 11 - (kernel - 1) :])


@settings(deadline=None, max_examples=40)
@given(
    real=st.lists(st.booleans(), min_size=1, max_size=12),
    cut=st.integers(0, 12),
    kernel=st.integers(1, 5),
)
def test_a_convolution_passes_over_padding_wherever_it_stands(
    real: list[bool], cut: int, kernel: int
) -> None:
    torch.manual_seed(kernel)
    mask = torch.tensor([real])
    x, weight = torch.randn(1, len(real), 3), torch.randn(3, kernel)
    before = torch.randn(1, kernel - 1, 3)
    tokens = x[mask][None]
    expected, last = causal_convolution(tokens, weight, None, before)
    results, state = [], before
    for span in (slice(0, cut), slice(cut, None)):
        if mask[:, span].shape[1]:
            result, state = causal_convolution(x[:, span], weight, None, state, mask[:, span])
            results.append(result)
    torch.testing.assert_close(torch.cat(results, dim=1)[mask][None], expected)
    torch.testing.assert_close(state, last)
