"""How a token learns where it stands: rotary embeddings, their scaling laws, linear biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class LinearScaling:
    """Positions divided by `factor` (Chen et al., 2023, arXiv 2306.15595)."""

    factor: float


@dataclass(frozen=True)
class DynamicScaling:
    """The base grows with the sequence once it is longer than `original` (NTK-aware, dynamic)."""

    factor: float
    original: int


@dataclass(frozen=True)
class Llama3Scaling:
    """Long wavelengths divided by `factor`, short ones kept, a ramp between (Llama 3.1)."""

    factor: float
    low_frequency: float
    high_frequency: float
    original: int


@dataclass(frozen=True)
class YarnScaling:
    """Interpolation by wavelength with scaled attention (Peng et al., 2023, arXiv 2309.00071).

    `attention` multiplies cosine and sine. `truncate` rounds the ramp's ends to whole
    dimensions, as the paper's own code does.
    """

    factor: float
    original: int
    attention: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True


@dataclass(frozen=True)
class LongRopeScaling:
    """A factor per dimension: one list up to `original` positions, another beyond.

    Ding et al., 2024, arXiv 2402.13753. `attention` multiplies cosine and sine; a publisher may
    state another factor for what lies beyond.
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original: int
    attention: float
    attention_beyond: float | None = None


@dataclass(frozen=True)
class GivenScaling:
    """Every frequency divided by its own stored factor, as GGUF's ``rope_freqs`` says it."""

    factors: tuple[float, ...]


RotaryScaling: TypeAlias = (
    LinearScaling | DynamicScaling | Llama3Scaling | YarnScaling | LongRopeScaling | GivenScaling
)


@dataclass(frozen=True)
class Axes:
    """Places with several axes, (row, column) or (frame, row, column), each turning some pairs.

    `sections` is how many pairs each axis turns. Those of an axis stand together, or where they
    are `woven` in turn: of three axes every third pair, and what is beyond a section is the
    first axis's. Frequencies are one falling row, `shared` by all axes (Wang et al., 2024, arXiv
    2409.12191), or `each` axis has such a row of its own, as in the tower there.
    """

    sections: tuple[int, ...]
    woven: bool = False
    frequencies: Literal["shared", "each"] = "shared"

    @property
    def of_pairs(self) -> tuple[int, ...]:
        """The axis that turns each pair, in order."""
        if not self.woven:
            return tuple(axis for axis, count in enumerate(self.sections) for _ in range(count))
        count = len(self.sections)
        return tuple(
            pair % count if pair < count * self.sections[pair % count] else 0
            for pair in range(sum(self.sections))
        )


@dataclass(frozen=True)
class Rotary:
    """Pairs of dimensions turned by an angle that grows with position (Su et al., 2021).

    `width` of the head's dimensions are turned, the first ones; the rest pass through.
    Pairs are (i, i + width/2), or (2i, 2i + 1) when `interleaved`. With `axes`, places have
    several; a text's are alike on all of them, and then turn as positions do.
    """

    base: float
    width: int
    interleaved: bool = False
    scaling: RotaryScaling | None = None
    axes: Axes | None = None


@dataclass(frozen=True)
class Alibi:
    """A penalty on each score, linear in distance: a slope per head (Press et al., 2021)."""

    slopes: tuple[float, ...]


@dataclass(frozen=True)
class RoundedAlibi:
    """Alibi as Falcon-RW was trained with it: coarse, and scaled like the scores.

    ``(score + slope · key position) · scale`` with the product in bfloat16, so what a key gains
    depends on where it stands and not on its distance alone.
    """

    slopes: tuple[float, ...]


@dataclass(frozen=True)
class Sinusoid:
    """Fixed waves added to the embedding: sines in the first half, cosines in the second.

    Wavelengths grow from 2π to 10,000 · 2π (Vaswani et al., 2017, arXiv 1706.03762), there with
    sine and cosine side by side; Marian and Pegasus keep them in halves.
    """

    width: int


@dataclass(frozen=True)
class Temperature:
    """Queries grow with position: times ``1 + strength · ln(1 + ⌊(position + 1) / every⌋)``.

    It keeps attention sharp over long contexts (Nakanishi, 2025, arXiv 2501.19399; Llama 4).
    """

    every: int
    strength: float
