"""The arithmetic of naming rules: each step forwards, from a file, and backwards, to one.

The same for NumPy's arrays and PyTorch's tensors, by the words that both libraries have.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar

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

Array = TypeVar("Array", bound=Any)  # numpy.ndarray or torch.Tensor


def forwards(steps: Sequence[Step], arrays: Sequence[Array]) -> list[Array]:
    """Turn the file's tensors into ours."""
    found = list(arrays)
    for step in steps:
        found = _forwards(step, found)
    return found


def backwards(steps: Sequence[Step], arrays: Sequence[Array]) -> list[Array]:
    """Turn our tensors into the file's: the inverse of `forwards`."""
    found = list(arrays)
    for step in reversed(steps):
        found = _backwards(step, found)
    return found


def _library(array: object) -> Any:
    """Return the library that an array is of, which is loaded for its own arrays alone."""
    import numpy as np

    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def _forwards(step: Step, arrays: list[Any]) -> list[Any]:
    library = _library(arrays[0])
    match step:
        case Stack():
            return [library.stack(arrays)]
        case Split(sizes, axis, groups):
            return _cut(arrays[0], sizes, axis, groups)
        case Join(_, axis):
            return [library.concatenate(arrays, axis=axis)]
        case Transpose():
            return [_transposed(array) for array in arrays]
        case Regroup(view, order):
            return [_regrouped(array, view, order) for array in arrays]
        case Reshape(_, ours):
            return [array.reshape(ours) for array in arrays]
        case Shift(by):
            return [_exact(array) + by for array in arrays]
        case NegativeLogarithm():
            return [library.log(-_exact(array)) for array in arrays]


def _backwards(step: Step, arrays: list[Any]) -> list[Any]:
    library = _library(arrays[0])
    match step:
        case Stack():
            return list(arrays[0])
        case Split(_, axis, groups):
            return [_mended(arrays, axis, groups)]
        case Join(sizes, axis):
            return _cut(arrays[0], sizes, axis, 1)
        case Transpose():
            return [_transposed(array) for array in arrays]
        case Regroup(view, order):
            there = tuple(view[axis] for axis in order)
            back = tuple(order.index(axis) for axis in range(len(order)))
            return [_regrouped(array, there, back) for array in arrays]
        case Reshape(theirs, _):
            return [array.reshape(theirs) for array in arrays]
        case Shift(by):
            return [_exact(array) - by for array in arrays]
        case NegativeLogarithm():
            return [-library.exp(_exact(array)) for array in arrays]


def _exact(array: Any) -> Any:
    """Return the numbers as float32."""
    library = _library(array)
    return library.asarray(array, dtype=library.float32)


def _cut(array: Any, sizes: Sequence[int], axis: int, groups: int) -> list[Any]:
    """Cut an axis into `sizes`; each of its `groups` blocks holds a part of every result."""
    axis %= array.ndim
    blocks = _in_blocks(array, axis, groups)
    ends = accumulate((size // groups for size in sizes), initial=0)
    before = (slice(None),) * (axis + 1)
    parts = [blocks[(*before, slice(begin, end))] for begin, end in pairwise(ends)]
    return [_out_of_blocks(part, axis) for part in parts]


def _mended(arrays: Sequence[Any], axis: int, groups: int) -> Any:
    """Undo `_cut`."""
    axis %= arrays[0].ndim
    parts = [_in_blocks(array, axis, groups) for array in arrays]
    return _out_of_blocks(_library(arrays[0]).concatenate(parts, axis=axis + 1), axis)


def _in_blocks(array: Any, axis: int, groups: int) -> Any:
    """See an axis as `groups` blocks: (…, groups, size / groups, …)."""
    shape = array.shape
    return array.reshape((*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]))


def _out_of_blocks(array: Any, axis: int) -> Any:
    """Undo `_in_blocks`."""
    shape = array.shape
    return array.reshape((*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def _transposed(array: Any) -> Any:
    return array if array.ndim < 2 else array.swapaxes(-1, -2)


def _regrouped(array: Any, view: Sequence[int], order: Sequence[int]) -> Any:
    seen = array.reshape((*view, *array.shape[1:]))
    moved = _library(array).moveaxis(seen, tuple(order), tuple(range(len(order))))
    return moved.reshape(array.shape)
