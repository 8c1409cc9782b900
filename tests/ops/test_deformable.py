"""Looking at a few places: every variant against the definition, and that against arithmetic."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ops.deformable import deformable_attention

GRIDS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3)


@pytest.mark.parametrize("variant", deformable_attention.variants, ids=lambda each: each.name)
@settings(deadline=None, max_examples=30)
@given(grids=GRIDS, points=st.integers(1, 3), seed=st.integers(0, 1000))
def test_a_variant_equals_the_definition(variant, grids, points: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    places = sum(rows * columns for rows, columns in grids)
    value = torch.randn(2, 3, places, 4, generator=generator)
    shape = (2, 3, 6, len(grids), points)
    looks = torch.rand(*shape, 2, generator=generator) * 2 - 0.5  # some lie outside
    weights = torch.randn(shape, generator=generator)
    found = variant.run(value, grids, looks, weights)
    expected = deformable_attention.reference(value, grids, looks, weights)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_what_lies_between_is_blended_and_what_lies_outside_is_nothing() -> None:
    value = torch.tensor([1.0, 3.0, 5.0, 7.0])[None, None, :, None]  # a map of two by two
    looks = torch.tensor([[0.25, 0.25], [0.5, 0.25], [0.5, 0.5], [0.0, 0.0], [-1.0, 0.5]])
    looks = looks[None, None, :, None, None]
    found = deformable_attention(value, [(2, 2)], looks, torch.ones(1, 1, 5, 1, 1))
    assert found.flatten().tolist() == pytest.approx([1.0, 2.0, 4.0, 0.25, 0.0])
