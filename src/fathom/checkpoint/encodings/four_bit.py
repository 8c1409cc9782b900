"""Four bits that choose one of sixteen fixed values, times a scale.

Layouts from ggml-common.h; E2M1 and E8M0 from the OCP Microscaling Formats specification 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor

from fathom.checkpoint.encodings.fields import half, planes

_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
# ggml stores twice the value as an integer, which has no negative zero, and halves the scale.
_E2M1_DOUBLED = (*(2 * value for value in _E2M1), 0.0, *(-2 * value for value in _E2M1[1:]))
_NON_LINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def f4(blocks: Tensor) -> Tensor:
    """Two E2M1 numbers in a byte, the first in the low bits; no scale."""
    return _choose(planes(blocks, 4, 1), (*_E2M1, *(-value for value in _E2M1)))


def iq4_nl(blocks: Tensor) -> Tensor:
    """d:2 q:16"""
    return half(blocks, 0) * _choose(planes(blocks[:, 2:18], 4, 16), _NON_LINEAR)


def iq4_xs(blocks: Tensor) -> Tensor:
    """d:2 high bits of scales:2 low bits of scales:4 q:128; 8 runs of 32"""
    high = planes(blocks[:, 2:4], 2, 1)
    scales = (planes(blocks[:, 4:8], 4, 1) | high << 4).view(torch.int8) - 32
    values = _choose(planes(blocks[:, 8:136], 4, 16), _NON_LINEAR).reshape(-1, 8, 32)
    return ((half(blocks, 0) * scales).unsqueeze(-1) * values).flatten(1)


def mxfp4(blocks: Tensor) -> Tensor:
    """e:1 (E8M0) q:16"""
    exponent = blocks[:, 0:1].int()
    # Half of 2^(e - 127) as float32 bits; the two smallest are subnormal.
    bits = torch.where(exponent < 2, 0x0020_0000 << exponent.clamp(max=2), exponent - 1 << 23)
    return bits.view(torch.float32) * _choose(planes(blocks[:, 1:17], 4, 16), _E2M1_DOUBLED)


def nvfp4(blocks: Tensor) -> Tensor:
    """scales:4 (unsigned E4M3) q:32; 4 runs of 16, the low nibbles of 8 bytes first"""
    scales = _lookup(_unsigned_e4m3_halved(), blocks[:, 0:4])
    values = _choose(planes(blocks[:, 4:36], 4, 8), _E2M1_DOUBLED).reshape(-1, 4, 16)
    return (scales.unsqueeze(-1) * values).flatten(1)


@cache
def _unsigned_e4m3_halved() -> tuple[float, ...]:
    """Half the value of each byte read as E4M3; the top bit is ignored and 0x7F counts as 0."""

    def value(byte: int) -> float:
        exponent, mantissa = byte >> 3 & 15, byte & 7
        if byte == 0x7F:
            return 0.0
        return mantissa * 2.0**-10 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 11)

    return tuple(value(byte) for byte in range(256))


def _choose(q: Tensor, values: Sequence[float]) -> Tensor:
    """(n, count) uint8 below 16 → (n, count) float32 of `values`."""
    return _lookup(tuple(values), q)


def _lookup(values: tuple[float, ...], index: Tensor) -> Tensor:
    table = torch.tensor(values, dtype=torch.float32, device=index.device)
    return table[index.int()]


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"F4": f4, "IQ4_NL": iq4_nl, "IQ4_XS": iq4_xs, "MXFP4": mxfp4, "NVFP4": nvfp4}
)
