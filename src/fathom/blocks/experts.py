"""Mixtures of experts: a router, the experts that it chooses, and perhaps a shared one."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.blocks.feed_forward import GatedMlp
from fathom.ops.activation import ACTIVATIONS
from fathom.ops.experts import Bank, clamped_swish, experts
from fathom.ops.routing import best, sparse_mixer
from fathom.spec import experts as spec


def _scores(x: Tensor, scores: Linear) -> Tensor:
    """Score every expert in float32, whatever the stream's type: a choice must not be rounded."""
    return functional.linear(x.float(), scores.weight.float(), scores.bias)


class Router(Block):
    """(tokens, width) → chosen experts and their weights, each (tokens, active)."""

    scores: Linear
    correction: Tensor | None

    def __init__(self, described: spec.Router) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        groups = self.spec.groups
        return best(
            _scores(x, self.scores),
            self.spec.active,
            scoring=self.spec.scoring,
            renormalise=self.spec.renormalise,
            floor=self.spec.floor,
            correction=self.correction,
            groups=None if groups is None else (groups.count, groups.active, groups.best),
            scale=self.spec.scale,
        )


class SparseMixer(Block):
    """(tokens, width) → chosen experts and their weights, each (tokens, active)."""

    scores: Linear

    def __init__(self, described: spec.SparseMixer) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return sparse_mixer(_scores(x, self.scores), self.spec.active, self.spec.jitter)


class StackedMlp(Block):
    """The weights of all experts; `bank` hands them to the operation."""

    gate: Linear
    up: Linear
    down: Linear

    def __init__(self, described: spec.StackedMlp) -> None:
        super().__init__(described)
        activation = described.activation
        if isinstance(activation, spec.ClampedSwish):
            self.combine = partial(clamped_swish, alpha=activation.alpha, limit=activation.limit)
        else:
            self.combine = partial(_gated, activation=activation)

    def bank(self, weigh_input: bool) -> Bank:
        """Return the weights as the operation takes them."""
        return Bank(
            gate=self.gate.weight,
            up=self.up.weight,
            down=self.down.weight,
            combine=self.combine,
            gate_bias=self.gate.bias,
            up_bias=self.up.bias,
            down_bias=self.down.bias,
            weigh_input=weigh_input,
        )


def _gated(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    return ACTIVATIONS[activation](gate) * up


class Experts(Block):
    """Input and result are (batch, length, width); each token goes its own way."""

    router: Router | SparseMixer
    experts: StackedMlp
    shared: GatedMlp | None
    shared_gate: Linear | None

    def __init__(self, described: spec.Experts) -> None:
        super().__init__(described)
        self.weigh_input = described.weighted == "input"

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, -2)
        chosen, weights = self.router(tokens)
        mixed = experts(tokens, chosen, weights, self.experts.bank(self.weigh_input))
        mixed = mixed.reshape(x.shape)
        if self.shared is None:
            return mixed
        shared = self.shared(x)
        if self.shared_gate is not None:
            score = functional.linear(x.float(), self.shared_gate.weight.float())
            shared = shared * score.sigmoid().to(x.dtype)
        return mixed + shared
