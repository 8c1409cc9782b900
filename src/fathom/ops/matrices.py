"""Products with weights in the layout of the native kernels.

A packed matrix, (rows, columns), is made from the bytes of a file and its memory belongs to the
extension; `ops/kernels/packed.hpp` draws the layout. Inputs are rounded to eight bits, with a scale
per 32, for quantised weights, to bfloat16 for BF16, and not at all for F16 and F32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import Operation, Variant
from fathom.ops.native import native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PackedMatrix(Protocol):
    """What the extension gives; programs take the same object."""

    @property
    def encoding(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

    def unpack(self, values: NDArray[np.float32], first_row: int = 0) -> None:
        """Read rows from `first_row` on, (rows, columns)."""

    def multiply(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        begin: int = 0,
        end: int | None = None,
        variant: str | None = None,
    ) -> None:
        """Fill rows `begin` to `end` of y, (tokens, rows), from x, (tokens, columns)."""


def pack(encoding: str, columns: int, parts: Sequence[Tensor]) -> PackedMatrix:
    """Pack matrices of one encoding below each other, as one.

    Args:
        encoding: by its name in the table of encodings.
        columns: of every part.
        parts: (bytes,) uint8 each: whole rows, exactly as a file stores them.

    Raises:
        ValueError: no kernel is installed or multiplies this encoding, columns end inside a block,
            or a part is not whole rows.
    """
    module = native()
    if isinstance(module, str):
        raise ValueError(module)
    row_bytes = module.source_row_bytes(encoding, columns)
    counts = [part.numel() // max(row_bytes, 1) for part in parts]
    matrix = module.PackedMatrix(encoding, sum(counts), columns)
    first = 0
    for part, count in zip(parts, counts, strict=True):
        matrix.pack(part.contiguous().numpy(), first, count)
        first += count
    return matrix


def reference(x: Tensor, weight: PackedMatrix) -> Tensor:
    """The definition, (…, columns) → (…, rows): a product in float32 with unpacked weights."""
    values = torch.empty(weight.rows, weight.columns)
    weight.unpack(values.numpy())
    return functional.linear(x.float(), values.to(x.device)).to(x.dtype)


def _native(x: Tensor, weight: PackedMatrix) -> Tensor:
    rows = x.detach().reshape(-1, weight.columns).float().contiguous()
    result = torch.empty(rows.shape[0], weight.rows)
    weight.multiply(rows.numpy(), result.numpy())
    return result.reshape(*x.shape[:-1], weight.rows).to(x.dtype)


def _refuses_native(x: Tensor, weight: PackedMatrix) -> str | None:
    if x.device.type != "cpu":
        return f"the native kernels run on the processor, and this tensor is on {x.device.type}"
    if x.requires_grad and torch.is_grad_enabled():
        return "the native kernels have no gradient"
    return None


packed_linear = Operation("packed linear", reference, [Variant("native", _native, _refuses_native)])
