"""Attention in which scores depend on how many rows and columns lie between two places.

Li et al., 2021 (arXiv 2112.01526), section 4.1. Shapes: query, key and value (batch, heads,
places, head_width), the places being those of a grid row by row. `rows` is (2 · rows of the grid
- 1, head_width): a vector for each distance, the most negative first; `columns` likewise. A
query's product with both is added to its scores, and is not scaled.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import Operation, Variant

MOST_ADDED = 1 << 24  # numbers that are added to scores at once: 67 MB, where all may be 800


def reference(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The definition: all scores at once, in float32."""
    scores = torch.matmul(query.float(), key.float().transpose(-1, -2)) * query.shape[-1] ** -0.5
    added = _added(*_distances(query, rows, columns)).float()
    return torch.matmul((scores + added).softmax(dim=-1), value.float()).to(query.dtype)


def _distances(query: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return each query's products with the vectors of all rows, and of all columns, as they lie.

    Shapes are (batch, heads, rows, columns, rows) and (batch, heads, rows, columns, columns).
    """
    high, wide = (len(rows) + 1) // 2, (len(columns) + 1) // 2
    places = query.unflatten(2, (high, wide))
    by_row = torch.einsum("bnhwc,hkc->bnhwk", places, _between(rows, high))
    by_column = torch.einsum("bnhwc,wkc->bnhwk", places, _between(columns, wide))
    return by_row.contiguous(), by_column.contiguous()  # or their sum would be copied


def _between(table: Tensor, count: int) -> Tensor:
    """Return the vectors between all pairs of so many places on a line: (count, count, width)."""
    line = torch.arange(count, device=table.device)
    return table[line[:, None] - line[None, :] + count - 1]


def _added(by_row: Tensor, by_column: Tensor) -> Tensor:
    """Return what is added to the scores, (batch, heads, places, places)."""
    both = by_row[..., :, None] + by_column[..., None, :]
    return both.flatten(4).flatten(2, 3)


def _few_at_once(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """As many heads at once as keep what is added to their scores small."""
    batch, heads, places, width = query.shape
    by_row, by_column = _distances(query, rows, columns)
    if by_row.shape[0] * heads * places**2 <= MOST_ADDED:
        return _fused(query, key, value, by_row, by_column)
    flat = [one.flatten(0, 1)[:, None] for one in (query, key, value, by_row, by_column)]
    step = max(1, MOST_ADDED // places**2)
    found = torch.empty_like(flat[0], memory_format=torch.contiguous_format)
    for start in range(0, batch * heads, step):
        found[start : start + step] = _fused(*(one[start : start + step] for one in flat))
    return found.view(batch, heads, places, width)


def _fused(query: Tensor, key: Tensor, value: Tensor, by_row: Tensor, by_column: Tensor) -> Tensor:
    added = _added(by_row, by_column)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=added)


def _refuses(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor
) -> str | None:
    return None


grid_attention = Operation(
    "grid_attention", reference, [Variant("few at once", _few_at_once, _refuses)]
)
