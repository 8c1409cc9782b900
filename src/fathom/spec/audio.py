"""Towers that hear: a spectrogram, narrowed by convolutions, which layers read like a text.

The shape is Whisper's (Radford et al., 2022, arXiv 2212.04356), which later models of sound took
over: frames of 10 ms, two of them to a position, so many positions to a window of sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.decoder import Layer
from fathom.spec.parts import Convolution, Norm, Part, Table
from fathom.spec.vision import layers_live, layers_operations
from fathom.spec.work import Stage, passing

FRAMES_PER_SECOND = 100  # columns of a spectrogram


@dataclass(frozen=True)
class FixedPositions:
    """Waves that no file stores: sines, then cosines, from 2π to 10,000 · 2π long."""

    rows: int
    width: int


@dataclass(frozen=True)
class SoundEncoder:
    """A spectrogram, (batch, bands, frames), becomes hidden states, (batch, length, width).

    Two convolutions over time, each followed by a GELU; stored or fixed positions; layers in
    which each position sees all; a norm. `pooled` neighbours are averaged before the norm.
    """

    first: Convolution
    second: Convolution
    positions: Table | FixedPositions
    layers: tuple[Layer, ...]
    norm: Norm
    pooled: int = 1

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "first": self.first,
            "second": self.second,
            "positions": self.positions if isinstance(self.positions, Table) else None,
            "layers": self.layers,
            "norm": self.norm,
        }

    @property
    def bands(self) -> int:
        return self.first.inputs

    @property
    def width(self) -> int:
        return self.second.outputs

    @property
    def frames(self) -> int:
        """Columns of a spectrogram that are heard at once: a window."""
        return self.positions.rows * self.second.stride[0]

    @property
    def seconds(self) -> float:
        """Seconds of sound in a window."""
        return self.frames / FRAMES_PER_SECOND

    def heard(self, frames: int) -> int:
        """Return the positions that layers see of so many frames."""
        (second,) = self.second.size(self.first.size((frames,)))
        return second

    def length(self, frames: int) -> int:
        """Return the hidden states that come of so many frames."""
        return self.heard(frames) // self.pooled

    def stage(self, batch: int, passes: int) -> Stage:
        """Return the work of hearing so many windows one after the other, `batch` at a time."""
        frames, positions = batch * self.frames, self.positions.rows
        heard = frames * self.bands
        narrowing = 2 * frames * self.width  # what a convolution made, and its activation
        live = heard + max(narrowing, layers_live(self.layers, batch * positions))
        operations = self.operations(batch, self.frames)
        kept = batch * self.length(self.frames) * self.width
        return Stage("encoder", self, operations, passes, live, kept, rows=batch * positions)

    def operations(self, batch: int, frames: int) -> int:
        """Floating-point operations for so many sounds of at most a window."""
        positions = self.heard(frames)
        narrowing = passing(self.first, batch * frames) + passing(self.second, batch * positions)
        return narrowing + layers_operations(self.layers, batch, positions)
