"""Taking packed fields out of blocks: what all block decoders share.

`blocks` is always (n, block_bytes) uint8. Every result is exact, so the order of the arithmetic
that follows decides the last bit and is kept as the format defines it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def half(blocks: Tensor, start: int) -> Tensor:
    """The float16 at byte `start` of each block: (n, 1) float32."""
    return words(blocks, start, start + 2, torch.float16).float()


def words(blocks: Tensor, start: int, stop: int, dtype: torch.dtype) -> Tensor:
    """Bytes `start` to `stop` of each block as little-endian numbers: (n, count) of `dtype`."""
    # The clone makes the bytes contiguous and aligned, which a slice of one block is not.
    return blocks[:, start:stop].clone(memory_format=torch.contiguous_format).view(dtype)


def planes(packed: Tensor, width: int, run: int) -> Tensor:
    """Unpack fields of `width` bits: (n, bytes) → (n, bytes · 8 / width) uint8.

    Each run of `run` bytes first gives the lowest bits of all its bytes, then the next bits.
    With `run` = 1 the bits come out in order, lowest first.
    """
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=packed.device)
    fields = packed.reshape(packed.shape[0], -1, 1, run) >> shifts.reshape(1, 1, -1, 1)
    masked: Tensor = fields & (2**width - 1)
    return masked.reshape(packed.shape[0], -1)
