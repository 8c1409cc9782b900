"""The generator: a vector in, a picture out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.blocks.build import Block
from fathom.blocks.generator import StyleMapping
from fathom.ops.resampling import twice_as_fine
from fathom.spec import generator as spec


class Generator(Block):
    """A vector becomes a style, and the style a picture with values about -1 to 1."""

    mapping: StyleMapping
    start: Tensor
    levels: nn.ModuleList

    def __init__(self, described: spec.Generator) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, latent: Tensor, kinds: Tensor | None = None) -> Tensor:
        """Return pictures (batch, colours, side, side) of vectors (batch, latent)."""
        return self.drawn(self.mapping(latent, kinds))

    def nearer(self, styles: Tensor, truncation: float) -> Tensor:
        """Return styles (batch, width) so near to the average: 1 leaves them, 0 is the average.

        Raises:
            LookupError: where no average is kept.
        """
        if truncation == 1.0:
            return styles
        average = self.mapping.average
        if average is None:
            raise LookupError("this generator keeps no average style")
        return torch.lerp(average.to(styles.dtype), styles, truncation)

    def drawn(self, styles: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Return pictures of styles: (batch, width), or one each, (batch, styles, width).

        Noise is what is kept of it with the weights, or drawn anew by `chance`.
        """
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, self.spec.styles, -1)
        x = self.start.expand(len(styles), -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)  # in which convolutions are quicker
        picture: Tensor | None = None
        taken = 0
        for level, described in zip(self.levels, self.spec.levels, strict=True):
            count = len(described.convolutions)
            x, colours = level(x, styles[:, taken : taken + count + 1], chance)
            taken += count
            if picture is not None:
                picture = twice_as_fine(picture, described.taps)
            if colours is not None:
                picture = colours if picture is None else picture.add_(colours)
        if picture is None:
            raise TypeError("the last level of a generator says its colours")
        return picture
