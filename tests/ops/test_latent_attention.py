"""The absorbed form of latent attention against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ops.attention import Scoring, visible
from fathom.ops.choose import only
from fathom.ops.latent_attention import latent_attention


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 4),
    length=st.integers(1, 5),
    before=st.integers(0, 6),
    widths=st.tuples(*[st.integers(1, 6)] * 4),
    masked=st.booleans(),
)
def test_absorbing_changes_nothing(
    batch: int, heads: int, length: int, before: int, widths: tuple[int, ...], masked: bool
) -> None:
    plain, rotary, value, rank = widths
    keys = before + length
    torch.manual_seed(keys)
    arguments = (
        torch.randn(batch, heads, length, plain + rotary),
        torch.randn(batch, keys, rank),
        torch.randn(batch, keys, rotary),
        torch.randn(heads, plain, rank),
        torch.randn(heads, value, rank),
        Scoring(scale=0.4),
    )
    positions = torch.arange(keys).expand(batch, -1)
    mask = visible(positions[:, before:], positions, Scoring(scale=1.0)) if masked else None
    defined = latent_attention.reference(*arguments, mask)
    absorbed = latent_attention.variants[0].run(*arguments, mask)
    assert absorbed.shape == (batch, heads, length, value)
    assert torch.allclose(absorbed, defined, atol=1e-5)


@pytest.mark.parametrize(("length", "absorbs"), [(1, True), (64, False)])
def test_what_is_less_work_is_chosen(length: int, absorbs: bool) -> None:
    """At DeepSeek-V3's proportions: one token absorbs, a prompt reads off its keys."""
    heads, plain, rotary, value, rank, keys = 2, 16, 8, 16, 64, 64
    arguments = (
        torch.randn(1, heads, length, plain + rotary),
        torch.randn(1, keys, rank),
        torch.randn(1, keys, rotary),
        torch.randn(heads, plain, rank) / rank**0.5,
        torch.randn(heads, value, rank) / rank**0.5,
        Scoring(scale=0.2),
    )
    reason = latent_attention.variants[0].refuses(*arguments)
    assert (reason is None) == absorbs
    with only("reference"):
        defined = latent_attention(*arguments)
    assert torch.allclose(latent_attention(*arguments), defined, atol=1e-5)
