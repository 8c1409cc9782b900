"""The frequencies of rotary embeddings under every scaling law, in float32 as publishers do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fathom.spec.positions import (
    DynamicScaling,
    GivenScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Rotary,
    YarnScaling,
)


def frequencies(rotary: Rotary, total: int) -> tuple[Tensor, float]:
    """Return radians per position, (width / 2,) float32, and a factor on cosine and sine.

    `total` is the length of the sequence, for the laws that depend on it.
    """
    plain = _plain(rotary.base, rotary.width)
    match rotary.scaling:
        case None:
            return plain, 1.0
        case LinearScaling(factor):
            return plain / factor, 1.0
        case GivenScaling(factors):
            return plain / torch.tensor(factors, dtype=torch.float32), 1.0
        case DynamicScaling(factor, original):
            return _plain(_dynamic_base(rotary, factor, original, total), rotary.width), 1.0
        case LongRopeScaling() as scaling:
            return _long(rotary, scaling, beyond=total > scaling.original)
        case Llama3Scaling() as scaling:
            return _llama3(plain, scaling), 1.0
        case YarnScaling() as scaling:
            return _yarn(rotary, plain, scaling), scaling.attention


def _exponents(width: int) -> Tensor:
    return torch.arange(0, width, 2, dtype=torch.float32) / width


def _plain(base: float, width: int) -> Tensor:
    return 1.0 / base ** _exponents(width)


def _dynamic_base(rotary: Rotary, factor: float, original: int, total: int) -> float:
    stretch = factor * max(total, original) / original - (factor - 1)
    return rotary.base * float(stretch ** (rotary.width / (rotary.width - 2)))


def _long(rotary: Rotary, scaling: LongRopeScaling, *, beyond: bool) -> tuple[Tensor, float]:
    """Divide each frequency by its own factor, of the list for sequences of this length."""
    factors = torch.tensor(scaling.long if beyond else scaling.short, dtype=torch.float32)
    other = scaling.attention_beyond if beyond else None
    attention = scaling.attention if other is None else other
    return 1.0 / (factors * rotary.base ** _exponents(rotary.width)), attention


def _llama3(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    """Divide long waves by the factor, keep short ones, and blend those between."""
    wavelength = 2 * math.pi / plain
    turns = scaling.original / wavelength  # over the original context
    low, high = scaling.low_frequency, scaling.high_frequency
    blend = (turns - low) / (high - low)
    mixed = (1 - blend) * plain / scaling.factor + blend * plain
    scaled = torch.where(turns < low, plain / scaling.factor, mixed)
    return torch.where(turns > high, plain, scaled)


def _yarn(rotary: Rotary, plain: Tensor, scaling: YarnScaling) -> Tensor:
    """Interpolate the dimensions that turn slowly, keep the fast ones, ramp between."""

    def dimension(turns: float) -> float:
        """Return the dimension that makes so many turns over the original context."""
        ratio = scaling.original / (turns * 2 * math.pi)
        return rotary.width * math.log(ratio) / (2 * math.log(rotary.base))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary.width - 1)
    high = high + 0.001 if low == high else high  # a ramp needs some length
    steps = torch.arange(rotary.width // 2, dtype=torch.float32)
    ramp = ((steps - low) / (high - low)).clamp(0, 1)
    return plain / scaling.factor * ramp + plain * (1 - ramp)
