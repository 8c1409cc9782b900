"""Each step of a rule, forwards and back again."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.checkpoint.rewriting import backwards, forwards
from fathom.dialects.rules import (
    Join,
    NegativeLogarithm,
    Regroup,
    Reshape,
    Shift,
    Split,
    Stack,
    Step,
    Transpose,
    swap_rotary_pairs,
)


def numbered(*shape: int) -> torch.Tensor:
    return torch.arange(float(prod(shape))).reshape(shape)


EXAMPLES: list[tuple[Step, list[torch.Tensor]]] = [
    (Stack(), [numbered(3, 4), numbered(3, 4) + 50]),
    (Split((2, 3)), [numbered(5, 4)]),
    (Split((1, 3), axis=1), [numbered(5, 4)]),
    (Split((4, 2, 2), groups=2), [numbered(8, 3)]),
    (Split((4, 2, 2), axis=-1, groups=2), [numbered(3, 8)]),
    (Split((4, 2, 2), groups=2), [numbered(8)]),
    (Join((2, 3)), [numbered(2, 4), numbered(3, 4)]),
    (Join((2, 3), axis=-1), [numbered(4, 2), numbered(4, 3)]),
    (Transpose(), [numbered(3, 4)]),
    (Transpose(), [numbered(7)]),
    (Regroup((2, 3, 2), (1, 0, 2)), [numbered(12, 4)]),
    (Regroup((2, 3, 2), (2, 0, 1)), [numbered(12)]),
    (Reshape((6, 1, 4), (6, 4)), [numbered(6, 1, 4)]),
    (Shift(1.0), [numbered(5)]),
    (NegativeLogarithm(), [-torch.ones(3)]),
]


@pytest.mark.parametrize("step", [e[0] for e in EXAMPLES], ids=str)
def test_backwards_undoes_forwards(step: Step) -> None:
    tensors = next(example for known, example in EXAMPLES if known is step)
    there = forwards([step], tensors)
    again = backwards([step], there)
    assert len(again) == len(tensors)
    assert all(torch.equal(a, b) for a, b in zip(again, tensors, strict=True))


def test_every_step_has_an_example() -> None:
    from typing import get_args

    assert {type(step) for step, _ in EXAMPLES} == set(get_args(Step))


def test_a_decay_rate_is_kept_as_its_logarithm() -> None:
    stored = torch.tensor([-0.001, -1.0, -16.0])
    (ours,) = forwards([NegativeLogarithm()], [stored])
    torch.testing.assert_close(ours, torch.tensor([0.001, 1.0, 16.0]).log())
    torch.testing.assert_close(backwards([NegativeLogarithm()], [ours])[0], stored)


def test_rotary_pairs_become_halves() -> None:
    """Rows (a0 b0 a1 b1 …) of each head, pairs side by side, become (a0 a1 … b0 b1 …)."""
    paired = torch.tensor([[0.0], [10], [1], [11], [2], [12]])
    (halves,) = forwards([swap_rotary_pairs(heads=1, head_width=6)], [paired])
    assert halves.flatten().tolist() == [0, 1, 2, 10, 11, 12]


def test_a_fused_projection_is_cut_head_by_head() -> None:
    """Rows (q0 k0 v0 q1 k1 v1), one per head, become (q0 q1), (k0 k1) and (v0 v1)."""
    fused = torch.tensor([0.0, 10, 20, 1, 11, 21])
    parts = forwards([Split((2, 2, 2), groups=2)], [fused])
    assert [part.tolist() for part in parts] == [[0, 1], [10, 11], [20, 21]]


@given(
    heads=st.integers(1, 4), half=st.integers(1, 4), columns=st.integers(1, 3), seed=st.integers()
)
def test_chains_are_undone_in_reverse(heads: int, half: int, columns: int, seed: int) -> None:
    rows = heads * 2 * half
    tensor = torch.rand(columns, rows, generator=torch.Generator().manual_seed(seed % 2**32))
    steps = [Transpose(), swap_rotary_pairs(heads, 2 * half), Split((1, rows - 1)), Shift(0.0)]
    (again,) = backwards(steps, forwards(steps, [tensor]))
    assert torch.equal(again, tensor)
