"""Chosen experts: every variant against the definition, the definition against one by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import only
from fathom.ops.experts import Bank, clamped_swish, experts, padded_rows
from fathom.ops.routing import best, sparse_mixer

VARIANTS = ["reference", *(variant.name for variant in experts.variants)]


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    return functional.silu(gate) * up


def _bank(count: int, *, biases: bool, weigh_input: bool, clamped: bool) -> Bank:
    width, inner = 6, 5
    some = torch.randn

    def bias(size: int) -> Tensor | None:
        return some(count, size) if biases else None

    return Bank(
        gate=some(count, inner, width),
        up=some(count, inner, width),
        down=some(count, width, inner),
        combine=partial(clamped_swish, alpha=1.3, limit=0.7) if clamped else _gated,
        gate_bias=bias(inner),
        up_bias=bias(inner),
        down_bias=bias(width),
        weigh_input=weigh_input,
    )


def _by_hand(x: Tensor, chosen: Tensor, weights: Tensor, bank: Bank) -> Tensor:
    """One token, one expert at a time."""
    rows = []
    for token, picks, shares in zip(x, chosen.tolist(), weights, strict=True):
        row = torch.zeros_like(token)
        for expert, share in zip(picks, shares, strict=True):
            entering = token * share if bank.weigh_input else token
            gate, up = bank.gate[expert] @ entering, bank.up[expert] @ entering
            if bank.gate_bias is not None:
                gate, up = gate + bank.gate_bias[expert], up + bank.up_bias[expert]
            out = bank.down[expert] @ bank.combine(gate, up)
            out = out if bank.down_bias is None else out + bank.down_bias[expert]
            row = row + (out if bank.weigh_input else out * share)
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize("name", VARIANTS)
@settings(deadline=None, max_examples=25)
@given(
    tokens=st.integers(1, 9),
    count=st.integers(1, 7),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    data=st.data(),
)
def test_every_variant_equals_one_by_hand(
    name: str, tokens: int, count: int, flags: tuple[bool, bool, bool], data: st.DataObject
) -> None:
    torch.manual_seed(tokens * 31 + count)
    active = data.draw(st.integers(1, count))
    bank = _bank(count, biases=flags[0], weigh_input=flags[1], clamped=flags[2])
    x, scores = torch.randn(tokens, 6), torch.randn(tokens, count)
    chosen, weights = best(scores, active)
    with only(name):
        ours = experts(x, chosen, weights, bank)
    assert torch.allclose(ours, _by_hand(x, chosen, weights, bank), atol=1e-5)


def test_experts_that_nobody_chose_are_not_touched() -> None:
    """Broken weights of an expert without tokens do no harm."""
    bank = _bank(3, biases=False, weigh_input=False, clamped=False)
    bank.down[1] = float("nan")
    chosen, weights = torch.tensor([[0, 2], [2, 0]]), torch.full((2, 2), 0.5)
    assert torch.isfinite(experts(torch.randn(2, 6), chosen, weights, bank)).all()
    with only("reference"):
        assert torch.isfinite(experts(torch.randn(2, 6), chosen, weights, bank)).all()


@pytest.mark.parametrize("tokens", [1, 9, 37, 130])
def test_padded_rows_change_nothing(tokens: int) -> None:
    """In the type whose products are done with few different numbers of rows."""
    torch.manual_seed(tokens)
    bank = _bank(3, biases=True, weigh_input=False, clamped=False)
    narrow = replace(
        bank,
        **{name: value.bfloat16() for name, value in vars(bank).items() if torch.is_tensor(value)},
    )
    x, (chosen, weights) = torch.randn(tokens, 6).bfloat16(), best(torch.randn(tokens, 3), 2)
    with only("one by one"):
        ours = experts(x, chosen, weights, narrow)
    assert ours.shape == x.shape
    expected = _by_hand(x.float(), chosen, weights, bank)
    assert torch.allclose(ours.float(), expected, atol=0.2, rtol=0.05)


def test_rows_are_padded_by_a_quarter_at_most_and_to_few_sizes() -> None:
    padded = {count: padded_rows(count) for count in range(1, 513)}
    assert all(count <= rows <= max(count + 1, 1.25 * count) for count, rows in padded.items())
    assert len(set(padded.values())) == 8 + 4 * 6


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), active=st.integers(1, 4), kept=st.integers(2, 4))
def test_only_the_best_groups_are_eligible(seed: int, active: int, kept: int) -> None:
    """Against a plain loop: groups ranked by their two best corrected scores."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(5, 12, generator=generator)
    correction = torch.randn(12, generator=generator)
    chosen, weights = best(
        scores, active, scoring="sigmoid", correction=correction, groups=(4, kept, 2), scale=2.0
    )
    for row, picks, shares in zip(scores.sigmoid(), chosen.tolist(), weights, strict=True):
        ranks = (row + correction).tolist()
        groups = [ranks[3 * g : 3 * g + 3] for g in range(4)]
        worth = [sum(sorted(group)[-2:]) for group in groups]
        alive = sorted(range(4), key=lambda g: -worth[g])[:kept]
        eligible = [e for g in alive for e in range(3 * g, 3 * g + 3)]
        expected = sorted(eligible, key=lambda e: -ranks[e])[:active]
        assert sorted(picks) == sorted(expected)
        assert torch.allclose(shares, 2 * row[picks])


def test_renormalised_weights_are_a_softmax_of_the_chosen_scores() -> None:
    scores = torch.randn(20, 9)
    chosen, weights = best(scores, 4, renormalise=True)
    assert torch.allclose(weights, scores.gather(-1, chosen).softmax(dim=-1), atol=1e-6)


def test_a_sum_below_the_floor_is_divided_by_the_floor() -> None:
    scores = torch.full((1, 4), -3.0)
    _, weights = best(scores, 1, scoring="sigmoid", renormalise=True, floor=0.5)
    assert torch.allclose(weights, scores[:, :1].sigmoid() / 0.5)


def test_the_sparse_mixer_equals_the_reference() -> None:
    from transformers.models.phimoe.modeling_phimoe import sparsemixer

    scores = torch.randn(200, 16)
    for jitter in (0.01, 0.2, 1.0):
        theirs, indices = sparsemixer(scores, jitter_eps=jitter, training=False)
        chosen, weights = sparse_mixer(scores, 2, jitter)
        assert torch.equal(chosen, indices)
        assert torch.allclose(weights, theirs, atol=1e-6)
