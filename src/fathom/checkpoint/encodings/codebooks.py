"""ggml IQ encodings: an index chooses a point of four or eight small values; signs are apart.

value = (d · scale) · point · sign. Layouts from ggml-common.h; the points are in `grids`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from fathom.checkpoint.encodings.fields import half, planes, words
from fathom.checkpoint.encodings.grids import points

_DELTA = 0.125  # IQ1 shifts its points by this much, up or down


def iq1_s(blocks: Tensor) -> Tensor:
    """d:2 q:32 h:16; a 16-bit word of h serves 32 elements: 4 × 3 index bits, scale, shift sign."""
    high = _unsigned(blocks, 34, 50)  # (n, 8)
    index = blocks[:, 2:34].int() | (_fields(high, (0, 3, 6, 9), 7) << 8)
    scale = half(blocks, 0) * ((high >> 12 & 7) * 2 + 1)
    shift = _shift(high >> 15)
    values = _point("IQ1_S", index).reshape(-1, 8, 32) + shift.unsqueeze(-1)
    return (scale.unsqueeze(-1) * values).flatten(1)


def iq1_m(blocks: Tensor) -> Tensor:
    """q:32 h:16 scales:8; the float16 d is spread over the top nibbles of the four scale words."""
    packed = _unsigned(blocks, 48, 56)  # (n, 4)
    shifts = torch.tensor([0, 4, 8, 12], dtype=torch.int32, device=blocks.device)
    bits = ((packed >> 12) << shifts).sum(dim=1, dtype=torch.int32)
    d = bits.to(torch.int16).view(torch.float16).float().unsqueeze(1)
    scale = d * (_fields(packed, (0, 3, 6, 9), 7) * 2 + 1)  # (n, 16)
    nibbles = planes(blocks[:, 32:48], 4, 1)  # (n, 32): three index bits and the shift sign
    index = blocks[:, 0:32].int() | (nibbles & 7).int() << 8
    shift = _shift(nibbles >> 3)
    values = _point("IQ1_S", index) + shift.unsqueeze(-1)  # (n, 32, 8)
    return (scale.unsqueeze(-1) * values.reshape(-1, 16, 16)).flatten(1)


def iq2_xxs(blocks: Tensor) -> Tensor:
    """d:2 then 8 × (indices:4, word:4); the word holds 4 × 7 sign bits and a scale."""
    pairs = blocks[:, 2:66].reshape(-1, 8, 8)
    word = words(pairs.flatten(0, 1), 4, 8, torch.int32).reshape(-1, 8)
    scale = half(blocks, 0) * ((word >> 28 & 15).float() + 0.5) * 0.25
    return _signed(scale, _point("IQ2_XXS", pairs[:, :, 0:4].flatten(1)), _seven_bit_signs(word))


def iq2_xs(blocks: Tensor) -> Tensor:
    """d:2 q:64 scales:8; a 16-bit word of q holds nine index bits and seven sign bits."""
    word = _unsigned(blocks, 2, 66)  # (n, 32)
    signs = _with_parity(word >> 9)
    return _signed(_scale2(blocks, 66), _point("IQ2_XS", word & 511), signs)


def iq2_s(blocks: Tensor) -> Tensor:
    """d:2 q:32 signs:32 h:8 scales:8"""
    index = blocks[:, 2:34].int() | planes(blocks[:, 66:74], 2, 1).int() << 8
    signs = planes(blocks[:, 34:66], 1, 1)
    return _signed(_scale2(blocks, 74), _point("IQ2_S", index), signs)


def iq3_xxs(blocks: Tensor) -> Tensor:
    """d:2 q:64 words:32; a word holds 4 × 7 sign bits and a scale."""
    word = words(blocks, 66, 98, torch.int32)  # (n, 8)
    scale = half(blocks, 0) * ((word >> 28 & 15).float() + 0.5) * 0.5
    return _signed(scale, _point("IQ3_XXS", blocks[:, 2:66]), _seven_bit_signs(word))


def iq3_s(blocks: Tensor) -> Tensor:
    """d:2 q:64 h:8 signs:32 scales:4"""
    index = blocks[:, 2:66].int() | planes(blocks[:, 66:74], 1, 1).int() << 8
    scale = half(blocks, 0) * (planes(blocks[:, 106:110], 4, 1) * 2 + 1)
    return _signed(scale, _point("IQ3_S", index), planes(blocks[:, 74:106], 1, 1))


def _unsigned(blocks: Tensor, start: int, stop: int) -> Tensor:
    """16-bit words as (n, count) int32 that are never negative."""
    return words(blocks, start, stop, torch.int16).int() & 0xFFFF


def _fields(word: Tensor, shifts: tuple[int, ...], mask: int) -> Tensor:
    """(n, count) → (n, count · shifts): the bits under `mask` at each shift of each word."""
    by = torch.tensor(shifts, dtype=torch.int32, device=word.device)
    return (word.unsqueeze(-1) >> by & mask).flatten(1)


def _shift(negative: Tensor) -> Tensor:
    """0 → +1/8, 1 → -1/8, as float32 whatever torch's default type is."""
    return negative.float() * (-2 * _DELTA) + _DELTA


def _scale2(blocks: Tensor, start: int) -> Tensor:
    """d · (s + 1/2) / 4 for sixteen four-bit s in eight bytes: (n, 16) float32."""
    return half(blocks, 0) * (planes(blocks[:, start : start + 8], 4, 1).float() + 0.5) * 0.25


def _point(grid: str, index: Tensor) -> Tensor:
    """(n, count) → (n, count, 4 or 8) float32."""
    table = points(grid).to(index.device)
    return table.index_select(0, index.int().flatten()).reshape(*index.shape, -1)


def _seven_bit_signs(word: Tensor) -> Tensor:
    """The low 28 bits of each word as four groups of eight signs: (n, count) → (n, count · 32)."""
    return _with_parity(_fields(word, (0, 7, 14, 21), 127))


def _with_parity(seven: Tensor) -> Tensor:
    """(n, count) of seven bits → (n, count · 8) bits; the eighth makes their number even."""
    parity = seven ^ seven >> 4
    parity = parity ^ parity >> 2
    parity = (parity ^ parity >> 1) & 1
    return planes((seven | parity << 7).to(torch.uint8), 1, 1)


def _signed(scale: Tensor, values: Tensor, negative: Tensor) -> Tensor:
    """(n, runs) · (n, 256 values in any grouping), negated where `negative` (n, 256) is 1."""
    count, runs = scale.shape
    products = values.reshape(count, runs, -1) * scale.unsqueeze(-1)
    return products.reshape(count, -1).mul_(1 - negative.to(torch.int8) * 2)


DECODERS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "IQ1_S": iq1_s,
        "IQ1_M": iq1_m,
        "IQ2_XXS": iq2_xxs,
        "IQ2_XS": iq2_xs,
        "IQ2_S": iq2_s,
        "IQ3_XXS": iq3_xxs,
        "IQ3_S": iq3_s,
    }
)
