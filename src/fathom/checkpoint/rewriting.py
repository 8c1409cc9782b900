"""The arithmetic of naming rules: each step forwards, from a file, and backwards, to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
)

if TYPE_CHECKING:
    from torch import Tensor


def forwards(steps: Sequence[Step], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Turn the file's tensors into ours."""
    found = list(tensors)
    for step in steps:
        found = _forwards(step, found)
    return found


def backwards(steps: Sequence[Step], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Turn our tensors into the file's: the inverse of `forwards`."""
    found = list(tensors)
    for step in reversed(steps):
        found = _backwards(step, found)
    return found


def _forwards(step: Step, tensors: list[Tensor]) -> list[Tensor]:
    import torch

    match step:
        case Stack():
            return [torch.stack(tensors)]
        case Split(sizes, axis, groups):
            return _cut(tensors[0], sizes, axis, groups)
        case Join(_, axis):
            return [torch.cat(tensors, dim=axis)]
        case Transpose():
            return [_transposed(tensor) for tensor in tensors]
        case Regroup(view, order):
            return [_regrouped(tensor, view, order) for tensor in tensors]
        case Reshape(_, ours):
            return [tensor.reshape(ours) for tensor in tensors]
        case Shift(by):
            return [tensor.float() + by for tensor in tensors]
        case NegativeLogarithm():
            return [torch.log(-tensor.float()) for tensor in tensors]


def _backwards(step: Step, tensors: list[Tensor]) -> list[Tensor]:
    import torch

    match step:
        case Stack():
            return list(torch.unbind(tensors[0]))
        case Split(_, axis, groups):
            return [_mended(tensors, axis, groups)]
        case Join(sizes, axis):
            return list(torch.split(tensors[0], list(sizes), dim=axis))
        case Transpose():
            return [_transposed(tensor) for tensor in tensors]
        case Regroup(view, order):
            there = tuple(view[axis] for axis in order)
            back = tuple(order.index(axis) for axis in range(len(order)))
            return [_regrouped(tensor, there, back) for tensor in tensors]
        case Reshape(theirs, _):
            return [tensor.reshape(theirs) for tensor in tensors]
        case Shift(by):
            return [tensor.float() - by for tensor in tensors]
        case NegativeLogarithm():
            return [-torch.exp(tensor.float()) for tensor in tensors]


def _cut(tensor: Tensor, sizes: Sequence[int], axis: int, groups: int) -> list[Tensor]:
    """Cut an axis into `sizes`; each of its `groups` blocks holds a part of every result."""
    import torch

    axis %= tensor.ndim
    blocks = _in_blocks(tensor, axis, groups)
    parts = torch.split(blocks, [size // groups for size in sizes], dim=axis + 1)
    return [part.flatten(axis, axis + 1) for part in parts]


def _mended(tensors: Sequence[Tensor], axis: int, groups: int) -> Tensor:
    """Undo `_cut`."""
    import torch

    axis %= tensors[0].ndim
    parts = [_in_blocks(tensor, axis, groups) for tensor in tensors]
    return torch.cat(parts, dim=axis + 1).flatten(axis, axis + 1)


def _in_blocks(tensor: Tensor, axis: int, groups: int) -> Tensor:
    """See an axis as `groups` blocks: (…, groups, size / groups, …)."""
    shape = tensor.shape
    return tensor.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def _transposed(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim < 2 else tensor.transpose(-1, -2)


def _regrouped(tensor: Tensor, view: Sequence[int], order: Sequence[int]) -> Tensor:
    rest = tuple(range(len(view), len(view) + tensor.ndim - 1))
    seen = tensor.reshape(*view, *tensor.shape[1:])
    return seen.permute(*order, *rest).reshape(tensor.shape)
