"""ggml blocks with one scale: value = scale · integer, or scale · integer + minimum.

Layouts from ggml-common.h. d: float16 scale, m: float16 minimum, h: high bits, q: the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from fathom.checkpoint.encodings.fields import half, planes


def q1_0(blocks: Tensor) -> Tensor:
    """d:2 q:16; a set bit is +d, a clear one -d."""
    signs = planes(blocks[:, 2:18], 1, 1).to(torch.int8) * 2 - 1
    return half(blocks, 0) * signs


def q4_0(blocks: Tensor) -> Tensor:
    """d:2 q:16"""
    return half(blocks, 0) * (planes(blocks[:, 2:18], 4, 16).view(torch.int8) - 8)


def q4_1(blocks: Tensor) -> Tensor:
    """d:2 m:2 q:16"""
    return (half(blocks, 0) * planes(blocks[:, 4:20], 4, 16)).add_(half(blocks, 2))


def q5_0(blocks: Tensor) -> Tensor:
    """d:2 h:4 q:16"""
    return half(blocks, 0) * (_five_bits(blocks[:, 2:6], blocks[:, 6:22]).view(torch.int8) - 16)


def q5_1(blocks: Tensor) -> Tensor:
    """d:2 m:2 h:4 q:16"""
    return (half(blocks, 0) * _five_bits(blocks[:, 4:8], blocks[:, 8:24])).add_(half(blocks, 2))


def q8_0(blocks: Tensor) -> Tensor:
    """d:2 q:32"""
    return half(blocks, 0) * blocks[:, 2:34].view(torch.int8)


def _five_bits(high: Tensor, low: Tensor) -> Tensor:
    return planes(low, 4, 16) | planes(high, 1, 1) << 4


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"Q1_0": q1_0, "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0, "Q5_1": q5_1, "Q8_0": q8_0}
)
