"""A layer of an encoder as data: which weights, by name, and what is done with them in which order.

With weights it becomes one native call (`ops.whole_layer`); for a forecast it needs none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Norm:
    """A norm of the stream by the names of its weights: centred, or a root mean square's."""

    centred: bool
    epsilon: float
    weight: str | None
    bias: str | None


@dataclass(frozen=True)
class Joint:
    """``x ← closing(x + tanh(gate) · scales · part(before(x)))``, each only where it is there."""

    before: Norm | None
    closing: Norm | None
    scales: str | None
    gate: str | None


@dataclass(frozen=True)
class Map:
    """Linear maps side by side: the name of each weight, and of its bias."""

    factors: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class LayerPlan:
    """What a layer does; names are those of its weights.

    With a `grid` of (rows, columns), queries meet vectors of the distances in it, by the names in
    `distances`.
    """

    width: int
    heads: int
    head_width: int
    scale: float
    causal: bool
    mixing: Joint
    into: Map
    output: Map
    feeding: Joint
    up: Map
    down: Map
    activation: str
    gated: bool
    grid: tuple[int, int] | None = None
    distances: tuple[str, str] | None = None
