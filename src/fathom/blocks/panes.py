"""Patches of a picture that stand in rows and columns, and see only those of their own pane."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fathom.blocks.state import Passing, Step
from fathom.ops.attention import Scoring, attention
from fathom.spec.attention import Pane


def standing(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return where patches stand that are read row by row: (2, 1, rows · columns)."""
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return torch.stack(torch.meshgrid(row, column, indexing="ij")).flatten(1)[:, None]


class Panes(Passing):
    """A state that keeps nothing, in which a patch attends to those in its own pane.

    Panes of one size are attended to together, as if each were a picture of its own: the whole
    ones, and those that the right edge, the lower edge and the corner cut short.
    """

    def __init__(self, pane: Pane, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.cuts = [
            (tall, wide) for tall in _cuts(rows, pane.rows) for wide in _cuts(columns, pane.columns)
        ]

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        result = torch.empty_like(query)
        spread = result.unflatten(2, (self.rows, self.columns))
        laid = [each.unflatten(2, (self.rows, self.columns)) for each in (query, key, value)]
        for (tall, high), (wide, broad) in self.cuts:
            queries, keys, values = (_panes(each[:, :, tall, wide], high, broad) for each in laid)
            found = attention(queries, keys, values, scoring, None, None)
            place = spread[:, :, tall, wide]
            place.copy_(_whole(found, place.shape, high, broad))
        return result


def _cuts(length: int, pane: int) -> Iterator[tuple[slice, int]]:
    """Yield the stretches of an axis that hold panes of one length, and that length."""
    whole = length - length % pane
    if whole:
        yield slice(0, whole), pane
    if whole < length:
        yield slice(whole, length), length - whole


def _panes(x: Tensor, high: int, broad: int) -> Tensor:
    """(batch, heads, rows, columns, width) → (batch · panes, heads, patches of one, width)."""
    cut = x.unflatten(3, (-1, broad)).unflatten(2, (-1, high))
    return cut.permute(0, 2, 4, 1, 3, 5, 6).flatten(4, 5).flatten(0, 2)


def _whole(x: Tensor, shape: torch.Size, high: int, broad: int) -> Tensor:
    """Return panes as they stand in a picture, of `shape`; the inverse of `_panes`."""
    batch, heads, rows, columns, width = shape
    cut = x.reshape(batch, rows // high, columns // broad, heads, high, broad, width)
    return cut.permute(0, 3, 1, 4, 2, 5, 6).reshape(shape)
