"""The frequencies of rotary embeddings under every scaling law, in float32 as publishers do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fathom.spec.positions import (
    DynamicScaling,
    GivenScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Rotary,
    YarnScaling,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def frequencies(rotary: Rotary, total: int) -> tuple[Floats, float]:
    """Return radians per position, (width / 2,) float32, and a factor on cosine and sine.

    `total` is the length of the sequence, for the laws that depend on it.
    """
    plain = _by_axis(rotary) if rotary.axes else _plain(rotary.base, rotary.width)
    match rotary.scaling:
        case None:
            return plain, 1.0
        case LinearScaling(factor):
            return plain / factor, 1.0
        case GivenScaling(factors):
            own: Floats = np.asarray(factors, dtype=np.float32)
            return plain / own, 1.0
        case DynamicScaling(factor, original):
            return _plain(_dynamic_base(rotary, factor, original, total), rotary.width), 1.0
        case LongRopeScaling() as scaling:
            return _long(rotary, scaling, beyond=total > scaling.original)
        case Llama3Scaling() as scaling:
            return _llama3(plain, scaling), 1.0
        case YarnScaling() as scaling:
            return _yarn(rotary, plain, scaling), scaling.attention


def _exponents(width: int) -> Floats:
    return np.arange(0, width, 2, dtype=np.float32) / np.float32(width)


def _powers(base: float, width: int) -> Floats:
    powers: Floats = np.power(np.float32(base), _exponents(width), dtype=np.float32)
    return powers


def _plain(base: float, width: int) -> Floats:
    turns: Floats = np.reciprocal(_powers(base, width))
    return turns


def _by_axis(rotary: Rotary) -> Floats:
    """Return the frequency of each pair where places have several axes, no law applied."""
    if rotary.axes is None or rotary.axes.frequencies == "shared":
        return _plain(rotary.base, rotary.width)
    return np.concatenate([_plain(rotary.base, 2 * count) for count in rotary.axes.sections])


def _dynamic_base(rotary: Rotary, factor: float, original: int, total: int) -> float:
    stretch = factor * max(total, original) / original - (factor - 1)
    return rotary.base * float(stretch ** (rotary.width / (rotary.width - 2)))


def _long(rotary: Rotary, scaling: LongRopeScaling, *, beyond: bool) -> tuple[Floats, float]:
    """Divide each frequency by its own factor, of the list for sequences of this length."""
    listed = scaling.long if beyond else scaling.short
    factors: Floats = np.asarray(listed, dtype=np.float32)
    other = scaling.attention_beyond if beyond else None
    attention = scaling.attention if other is None else other
    return np.reciprocal(factors * _powers(rotary.base, rotary.width)), attention


def _llama3(plain: Floats, scaling: Llama3Scaling) -> Floats:
    """Divide long waves by the factor, keep short ones, and blend those between."""
    wavelength = 2 * math.pi / plain
    turns = scaling.original / wavelength  # over the original context
    low, high = scaling.low_frequency, scaling.high_frequency
    blend = (turns - low) / (high - low)
    mixed = (1 - blend) * plain / scaling.factor + blend * plain
    scaled = np.where(turns < low, plain / scaling.factor, mixed)
    return np.where(turns > high, plain, scaled)


def _yarn(rotary: Rotary, plain: Floats, scaling: YarnScaling) -> Floats:
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
    steps = np.arange(rotary.width // 2, dtype=np.float32)
    ramp = ((steps - low) / (high - low)).clip(0, 1)
    return plain / scaling.factor * ramp + plain * (1 - ramp)
