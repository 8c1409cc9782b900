"""How the hidden states of a text become its vector: what an embedding model ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Linear, Part
from fathom.spec.roles import Role

Pooling: TypeAlias = Literal["first", "last", "mean", "mean_by_root", "weighted_mean", "max"]


@dataclass(frozen=True)
class Projection:
    """``activation(linear(x))`` on a vector."""

    inputs: int
    outputs: int
    activation: Activation
    bias: bool = True

    def parts(self) -> Mapping[str, Part | None]:
        return {"linear": Linear(self.inputs, self.outputs, Role.DENSE, self.bias)}


@dataclass(frozen=True)
class TextVector:
    """Hidden states are pooled, in more than one way side by side, projected and normalised."""

    pooling: tuple[Pooling, ...]
    projections: tuple[Projection, ...] = ()
    normalise: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        return {"projections": self.projections}


@dataclass(frozen=True)
class Vectors:
    """How a publisher makes vectors of texts.

    `weights` holds the file of each projection. A text is lowered if `lowercase`, may have
    `longest` tokens and follows a prompt by name; `pools_prompt` says whether the prompt's tokens
    count.
    """

    vector: TextVector
    weights: tuple[Path, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    longest: int | None = None
    lowercase: bool = False
    pools_prompt: bool = True
