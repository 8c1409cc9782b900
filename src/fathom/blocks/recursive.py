"""Layers that are applied again and again to one state, closed by norms that hold it bounded."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.attention import Attention
from fathom.blocks.bricks import Norm
from fathom.blocks.build import Block
from fathom.blocks.feed_forward import GatedMlp
from fathom.blocks.state import Passing, Step

_PASSING = Passing()


class Across(Block):
    """A gated feed-forward over positions; input and result are (batch, width, positions)."""

    map: GatedMlp

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x)


class RefiningLayer(Block):
    """One layer; input and result are (batch, positions, width)."""

    mixer: Attention | Across
    mixer_norm: Norm
    feed_forward: GatedMlp
    feed_forward_norm: Norm

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = self._mixed(x, step)
        return self.feed_forward_norm(x + self.feed_forward(x))

    def _mixed(self, x: Tensor, step: Step) -> Tensor:
        if isinstance(self.mixer, Across):
            across = x.transpose(1, 2)
            return self.mixer_norm(across + self.mixer(across)).transpose(1, 2)
        return self.mixer_norm(x + self.mixer(x, step, _PASSING))
