"""A layer: a mixer and a feed-forward, joined to the stream by residuals."""

from __future__ import annotations

from torch import Tensor, nn

from fathom.blocks.bricks import Norm
from fathom.blocks.build import Block
from fathom.blocks.state import MixerState, Step
from fathom.spec import decoder as spec


class Residual(Block):
    """The norms around one part of a layer, and the addition to the stream."""

    before: Norm | None
    after: Norm | None
    closing: Norm | None
    scales: Tensor | None
    gate: Tensor | None

    def __init__(self, described: spec.Residual) -> None:
        super().__init__(described)
        self.scale = described.scale
        self.exact = described.exact

    def enter(self, x: Tensor) -> Tensor:
        return x if self.before is None else self.before(x)

    def join(self, x: Tensor, part: Tensor) -> Tensor:
        part = part if self.after is None else self.after(part)
        part = part if self.scales is None else part * self.scales.to(part.dtype)
        part = part if self.gate is None else part * self.gate.tanh().to(part.dtype)
        x = x.float() if self.exact else x
        joined = x + (part if self.scale == 1.0 else part * self.scale)
        return joined if self.closing is None else self.closing(joined)


class Layer(Block):
    """One layer; input and result are (batch, length, width).

    sequential:  x ─┬─ mixer ─ + ─┬─ feed-forward ─ + ─►
                    └──────────┘  └─────────────────┘
    parallel:    x ─┬─ mixer ──────── + ─ + ─►
                    ├─ feed-forward ──┘   │
                    └─────────────────────┘
    """

    mixer: nn.Module
    mixer_residual: Residual
    feed_forward: nn.Module | None
    feed_forward_residual: Residual

    def __init__(self, described: spec.Layer) -> None:
        super().__init__(described)
        self.parallel = described.parallel

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        entered = self.mixer_residual.enter(x)
        mixed = self.mixer(entered, step, state)
        if self.feed_forward is None:
            return self.mixer_residual.join(x, mixed)
        if self.parallel:
            own_norm = self.feed_forward_residual.before is not None
            fed = self.feed_forward(self.feed_forward_residual.enter(x) if own_norm else entered)
            return self.feed_forward_residual.join(self.mixer_residual.join(x, mixed), fed)
        x = self.mixer_residual.join(x, mixed)
        fed = self.feed_forward(self.feed_forward_residual.enter(x))
        return self.feed_forward_residual.join(x, fed)
