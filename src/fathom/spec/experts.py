"""Mixtures of experts: many feed-forwards side by side, of which a token passes a chosen few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fathom.spec.feed_forward import Activation, GatedMlp
from fathom.spec.parts import Bare, Linear, Part
from fathom.spec.roles import Role


@dataclass(frozen=True)
class Groups:
    """Experts in `count` groups of one size; a token may choose from the `active` best of them.

    A group is worth the sum of its `best` highest scores (DeepSeek-V2, arXiv 2405.04434: 1;
    DeepSeek-V3, arXiv 2412.19437: 2).
    """

    count: int
    active: int
    best: int = 1


@dataclass(frozen=True)
class Router:
    """Scores all experts and chooses the `active` best of them (Shazeer et al., 2017).

    The scores become weights by `scoring`; `renormalise` divides the chosen weights by their
    sum, or by `floor` where that is less. A `correction` per expert is added to the weights for
    the choice alone, which balances the load without a loss for it (arXiv 2408.15664).
    """

    width: int
    experts: int
    active: int
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    renormalise: bool = False
    floor: float = 0.0
    bias: bool = False
    correction: bool = False
    groups: Groups | None = None
    scale: float = 1.0  # of the weights, at the end

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "scores": Linear(self.width, self.experts, Role.ROUTER, self.bias),
            "correction": Bare((self.experts,), Role.ROUTER) if self.correction else None,
        }


@dataclass(frozen=True)
class SparseMixer:
    """Chooses two experts one after the other, each by a softmax over its near rivals alone.

    A rival is near when it lies within 2 × `jitter` of the best, relative to the larger of its
    own magnitude and the best score (Liu et al., 2024, arXiv 2409.12136; at inference).
    """

    width: int
    experts: int
    jitter: float
    active: int = 2

    def parts(self) -> Mapping[str, Part | None]:
        return {"scores": Linear(self.width, self.experts, Role.ROUTER)}


@dataclass(frozen=True)
class ClampedSwish:
    """``(up + 1) · gate · sigmoid(alpha · gate)``; `limit` bounds up, and gate from above."""

    alpha: float
    limit: float


@dataclass(frozen=True)
class StackedMlp:
    """`count` gated feed-forwards of one shape, whose weights lie in one tensor each."""

    width: int
    inner: int
    count: int
    active: int
    activation: Activation | ClampedSwish = "silu"
    bias: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        def maps(inputs: int, outputs: int, role: Role) -> Linear:
            return Linear(inputs, outputs, role, self.bias, self.count, self.active)

        return {
            "gate": maps(self.width, self.inner, Role.INTO_INNER),
            "up": maps(self.width, self.inner, Role.INTO_INNER),
            "down": maps(self.inner, self.width, Role.OUT_OF_INNER),
        }


@dataclass(frozen=True)
class Experts:
    """The chosen experts' results, weighted and added; to which a `shared` one adds its own.

    `weighted` says what the router's weight multiplies: an expert's result, or already what
    enters it (Llama 4). With `shared_gate`, the shared result is multiplied by the sigmoid of
    a learned score of the token.
    """

    router: Router | SparseMixer
    inner: int
    activation: Activation | ClampedSwish = "silu"
    bias: bool = False
    shared: GatedMlp | None = None
    shared_gate: bool = False
    weighted: Literal["result", "input"] = "result"

    @property
    def width(self) -> int:
        return self.router.width

    def parts(self) -> Mapping[str, Part | None]:
        router = self.router
        return {
            "router": router,
            "experts": StackedMlp(
                router.width, self.inner, router.experts, router.active, self.activation, self.bias
            ),
            "shared": self.shared,
            "shared_gate": Linear(self.width, 1, Role.ROUTER) if self.shared_gate else None,
        }
