"""The tower that sees a picture as several tiles, as its spec describes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.state import Passing, Step
from fathom.ops.attention import Scoring, attention
from fathom.spec import tiles as spec


class TileOffset(Block):
    """The number of an arrangement → a vector for each tile, (tiles, 1, width)."""

    gate: Tensor
    by_tile: Table

    def __init__(self, described: spec.TileOffset) -> None:
        super().__init__(described)
        self.tiles = described.tiles

    def forward(self, arrangement: Tensor) -> Tensor:
        own = self.by_tile(arrangement).view(self.tiles, 1, -1)
        return own * self.gate.tanh().to(own.dtype)


class TilePositions(Block):
    """The number of an arrangement → a vector for each place, (tiles, places, width)."""

    gate: Tensor
    everywhere: Tensor
    by_tile: Table

    def __init__(self, described: spec.TilePositions) -> None:
        super().__init__(described)
        self.shape = (described.tiles, described.places, described.width)

    def forward(self, arrangement: Tensor) -> Tensor:
        gate = self.gate.tanh().to(self.everywhere.dtype)
        own = self.by_tile(arrangement).view(self.shape) * gate
        return own + (1 - gate) * self.everywhere


class TileEncoder(Block):
    """Tiles of a picture, (real tiles, channels, side, side) → vectors (tiles · places, vector)."""

    patches: Convolution
    summary: Tensor
    before: TileOffset
    positions: TilePositions
    entering: Norm
    layers: nn.ModuleList
    leaving: Norm
    after: TileOffset
    whole: nn.ModuleList

    def __init__(self, described: spec.TileEncoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, pixels: Tensor, arrangement: tuple[int, int]) -> Tensor:
        """Return what is seen in one picture, tile by tile, those that are empty included.

        `arrangement` is how many (rows, columns) of tiles it has; `pixels` are theirs in the
        order of reading.
        """
        number = torch.tensor(
            1 + spec.arrangements(self.spec.tiles).index(arrangement), device=pixels.device
        )
        order = _order(self.spec, len(pixels)).to(pixels.device)
        x = self._entered(pixels, number).flatten(0, 1)[order][None]
        step = Step.dense(1, 0, x.shape[1], x.device)
        state = _Apart(len(pixels) * self.spec.places)
        read = []
        for depth, layer in enumerate(self.layers, start=1):
            x = layer(x, step, state)
            if depth in self.spec.depths:
                read.append(x)
        offsets = self.after(number).expand(-1, self.spec.aligned, -1)
        x = self.leaving(x) + offsets.flatten(0, 1)[order]
        for layer in self.whole:
            x = layer(x, step, state)
        side_by_side = torch.stack(read, dim=-1).flatten(-2)
        back = order.argsort().view(self.spec.tiles, -1)[:, : self.spec.places].flatten()
        return torch.cat((x, side_by_side), dim=-1)[0, back]

    def _entered(self, pixels: Tensor, number: Tensor) -> Tensor:
        """Return what the first layer is given, (tiles, aligned places, width)."""
        cut = self.patches(pixels).flatten(2).transpose(1, 2)
        missing = self.spec.tiles - len(cut)
        x = functional.pad(cut, (0, 0, 0, 0, 0, missing)) + self.before(number)
        x = torch.cat((self.summary.to(x.dtype).expand(len(x), 1, -1), x), dim=1)
        x = self.entering(x + self.positions(number))
        return functional.pad(x, (0, 0, 0, self.spec.aligned - self.spec.places))


def _order(described: spec.TileEncoder, real: int) -> Tensor:
    """Return places of all tiles, those of `real` ones first and then what is empty."""
    places = torch.arange(described.tiles * described.aligned).view(described.tiles, -1)
    empty = torch.ones_like(places, dtype=torch.bool)
    empty[:real, : described.places] = False
    return torch.cat((places[~empty], places[empty]))


class _Apart(Passing):
    """Attention in which the first `real` tokens see all and the others only those.

    So its publisher trained it: what is empty is seen, and sees what is not.
    """

    def __init__(self, real: int) -> None:
        self.real = real

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        seeing, empty = query[:, :, : self.real], query[:, :, self.real :]
        seen = attention(seeing, key, value, scoring)
        own = attention(empty, key[:, :, : self.real], value[:, :, : self.real], scoring)
        return torch.cat((seen, own), dim=2)
