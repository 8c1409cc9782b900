"""Layers that run whole, in one call: what they compute is the same, what they hold is less.

A call holds the stream as it comes in and goes out, and of all tokens their queries, keys and
values, in float32 whatever the type of the stream. What lies between two maps is there for as
many tokens as each thread takes at a time (`room`).
"""

from __future__ import annotations

from dataclasses import dataclass

from fathom.spec.attention import Attention
from fathom.spec.decoder import Layer
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.grid import GridLayer
from fathom.spec.windowed import WindowAttention

TOKENS_AT_ONCE = 96  # that a thread takes through the maps, as ops/kernels/whole_layer.cpp has it


# Numbers of a stream that a layer reads and writes, coming in and going out twice, and of its
# queries, keys and values in float32.
STREAMED, SEEN = 4, 6


@dataclass(frozen=True)
class WholeLayer(Layer):
    """A layer of tokens. A number in float32 is as large as `exact` of the stream's."""

    exact: int = 1

    @property
    def moved(self) -> int:
        """Numbers read and written for each token beside products."""
        return self.mixer.width * (STREAMED + SEEN * self.exact)

    @property
    def widest(self) -> int:
        """Numbers held for each token at the largest moment."""
        mixer = self.mixer
        inner = mixer.heads * mixer.head_width if isinstance(mixer, Attention) else 0
        return 2 * mixer.width + 3 * self.exact * inner


@dataclass(frozen=True)
class WholeGridLayer(GridLayer):
    """A layer of the places of a grid; `exact` as of `WholeLayer`."""

    exact: int = 1

    def moved(self, grid: tuple[int, int]) -> int:
        """Numbers read and written beside products: what lies between maps stays in a cache."""
        return grid[0] * grid[1] * self.mixer.width * (STREAMED + SEEN * self.exact)

    def live(self, grid: tuple[int, int]) -> int:
        """Numbers held at the largest moment beside what came in."""
        stream = grid[0] * grid[1] * self.mixer.width
        return stream + self.exact * (3 * stream + self._added(grid))

    def _added(self, grid: tuple[int, int]) -> int:
        """Return the numbers that join scores: once, or for each window where they shift."""
        if not isinstance(self.mixer, WindowAttention):
            return 0
        seen = self.mixer.window**2
        return self.mixer.heads * seen * (self.mixer.places(grid) if self.mixer.shifted else seen)


def room(layer: WholeLayer | WholeGridLayer) -> int:
    """Return the numbers in float32 that a thread holds for the tokens that it takes at a time.

    The stream, what enters, the inner numbers, and those once more as a product reads them.
    """
    part, width = layer.feed_forward, layer.mixer.width
    inner = part.inner if isinstance(part, Mlp | GatedMlp) else 0
    ups = 2 * inner if isinstance(part, GatedMlp) else inner
    return TOKENS_AT_ONCE * (2 * width + ups + max(inner, width))
