"""ggml K-quants: 256 integers in 8 or 16 runs, each with a scale that is an integer itself.

value = (d · scale) · q - (dmin · minimum). Layouts from ggml-common.h; byte counts after colons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from fathom.checkpoint.encodings.fields import half, planes, words


def q2_k(blocks: Tensor) -> Tensor:
    """scales and minimums:16 (four bits each) q:64 d:2 dmin:2; 16 runs of 16"""
    packed = blocks[:, 0:16]
    scale = half(blocks, 80) * (packed & 15)
    minimum = half(blocks, 82) * (packed >> 4)
    return _affine(planes(blocks[:, 16:80], 2, 32), scale, minimum)


def q3_k(blocks: Tensor) -> Tensor:
    """h:32 q:64 scales:12 d:2; 16 runs of 16. A clear bit in h subtracts four."""
    high = planes(blocks[:, 0:32], 1, 32)
    q = (planes(blocks[:, 32:96], 2, 32) | high << 2).view(torch.int8) - 4
    # 16 scales of six bits: the low four as nibbles of 8 bytes, the high two in 4 bytes.
    low = planes(blocks[:, 96:104], 4, 8)
    scale = (low | planes(blocks[:, 104:108], 2, 4) << 4).view(torch.int8) - 32
    return _affine(q, half(blocks, 108) * scale)


def q4_k(blocks: Tensor) -> Tensor:
    """d:2 dmin:2 scales and minimums:12 q:128; 8 runs of 32"""
    return _affine(planes(blocks[:, 16:144], 4, 32), *_scales_and_minimums(blocks))


def q5_k(blocks: Tensor) -> Tensor:
    """d:2 dmin:2 scales and minimums:12 h:32 q:128; 8 runs of 32"""
    q = planes(blocks[:, 48:176], 4, 32) | planes(blocks[:, 16:48], 1, 32) << 4
    return _affine(q, *_scales_and_minimums(blocks))


def q6_k(blocks: Tensor) -> Tensor:
    """q:128 h:64 scales:16 d:2; 16 runs of 16"""
    q = planes(blocks[:, 0:128], 4, 64) | planes(blocks[:, 128:192], 2, 32) << 4
    scale = half(blocks, 208) * blocks[:, 192:208].view(torch.int8)
    return _affine(q.view(torch.int8) - 32, scale)


def q8_k(blocks: Tensor) -> Tensor:
    """d:4 (float32) q:256 sums:32; the sums only speed up dot products"""
    return words(blocks, 0, 4, torch.float32) * blocks[:, 4:260].view(torch.int8)


def _affine(q: Tensor, scale: Tensor, minimum: Tensor | None = None) -> Tensor:
    """(n, 256) integers, (n, runs) float32 twice → (n, 256) float32."""
    count, runs = scale.shape
    values = q.reshape(count, runs, -1) * scale.unsqueeze(-1)
    if minimum is not None:
        values.sub_(minimum.unsqueeze(-1))
    return values.reshape(count, -1)


def _scales_and_minimums(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Eight six-bit scales and minimums in 12 bytes, times d and dmin: twice (n, 8) float32.

    Bytes 0-3 and 4-7 hold the first four scales and minimums, and above them the top two bits of
    the last four; bytes 8-11 hold the low four bits of the last four, scales in the low nibble.
    """
    scale, minimum, last = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = torch.cat((scale & 63, last & 15 | scale >> 2 & 48), dim=1)
    minimums = torch.cat((minimum & 63, last >> 4 | minimum >> 2 & 48), dim=1)
    return half(blocks, 0) * scales, half(blocks, 2) * minimums


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k, "Q8_K": q8_k}
)
