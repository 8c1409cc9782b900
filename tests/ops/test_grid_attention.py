"""Attention with distances in rows and columns: few heads at once are what the definition is."""

from __future__ import annotations

import pytest
import torch

from fathom.ops import grid_attention as module
from fathom.ops.choose import only
from fathom.ops.grid_attention import grid_attention
from fathom.spec import grid as spec


@pytest.mark.parametrize(("high", "wide"), [(4, 4), (3, 5), (1, 6)])
@pytest.mark.parametrize("most", [1 << 24, 1, 300])
def test_variants_agree(high: int, wide: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ADDED", most)
    generator = torch.Generator().manual_seed(1)
    shape = (2, 3, high * wide, 8)
    query, key, value = (torch.randn(shape, generator=generator) for _ in range(3))
    rows = torch.randn(2 * high - 1, 8, generator=generator)
    columns = torch.randn(2 * wide - 1, 8, generator=generator)
    found = grid_attention(query, key, value, rows, columns)
    with only("reference"):
        expected = grid_attention(query, key, value, rows, columns)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_distance_is_of_the_query_from_the_key() -> None:
    """With one place above another, scores are the products with the vectors −1, 0 and 1 apart."""
    query = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    rows, columns = torch.arange(6.0).view(3, 2), torch.zeros(1, 2)
    value = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    weights = grid_attention(query, torch.zeros_like(query), value, rows, columns)[0, 0]
    expected = torch.tensor([[rows[1, 0], rows[0, 0]], [rows[2, 1], rows[1, 1]]]).softmax(dim=1)
    assert torch.allclose(weights, expected)


def test_memory_is_foreseen_by_the_same_bound() -> None:
    assert spec.ADDED_AT_ONCE == module.MOST_ADDED
