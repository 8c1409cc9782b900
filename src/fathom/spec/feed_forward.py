"""Feed-forward parts: what acts on each token alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fathom.spec.parts import Linear, Part
from fathom.spec.roles import Role

Activation: TypeAlias = Literal[
    "silu", "gelu", "gelu_tanh", "gelu_quick", "relu", "relu_squared", "sigmoid", "tanh", "identity"
]


@dataclass(frozen=True)
class GatedMlp:
    """``down(activation(gate(x)) * up(x))`` (Shazeer, 2020, arXiv 2002.05202)."""

    width: int
    inner: int
    activation: Activation = "silu"
    bias: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        into, out = Role.INTO_INNER, Role.OUT_OF_INNER
        return {
            "gate": Linear(self.width, self.inner, into, self.bias),
            "up": Linear(self.width, self.inner, into, self.bias),
            "down": Linear(self.inner, self.width, out, self.bias),
        }


@dataclass(frozen=True)
class Mlp:
    """``down(activation(up(x)))``."""

    width: int
    inner: int
    activation: Activation = "gelu"
    bias: bool = True

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "up": Linear(self.width, self.inner, Role.INTO_INNER, self.bias),
            "down": Linear(self.inner, self.width, Role.OUT_OF_INNER, self.bias),
        }
