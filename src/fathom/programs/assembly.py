"""From a plan to a native program: rows become numbers, and names become weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fathom.programs.steps import Factor, Heads, Matrix, NormShape, Routing, Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]


class Weights(Protocol):
    """Where a program's weights come from."""

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix of the native module."""
        ...

    def vector(self, name: str) -> Floats:
        """Return a small tensor in float32, flat."""
        ...


@dataclass
class Assembly:
    """A plan on its way to being a native program."""

    program: Any
    weights: Weights
    rows: Mapping[str, Rows]
    numbers: dict[str, int] = field(default_factory=dict)
    matrices: dict[Matrix, Any] = field(default_factory=dict)

    def number(self, name: str) -> int:
        if name not in self.numbers:
            rows = self.rows[name]
            self.numbers[name] = self.program.buffer(rows.width, rows.repeats, rows.refined)
        return self.numbers[name]

    def matrix(self, matrix: Matrix) -> Any:
        if matrix not in self.matrices:
            self.matrices[matrix] = self.weights.matrix(matrix)
        return self.matrices[matrix]

    def column(self, column: tuple[str, int]) -> tuple[int, int]:
        return self.number(column[0]), column[1]

    def optional(self, name: str | None) -> Floats | None:
        return None if name is None else self.weights.vector(name)

    def first_row(self, name: str | None, target: str) -> Floats | None:
        return None if name is None else self.weights.vector(name)[: self.rows[target].width]

    def row(self, factor: Factor) -> Floats | None:
        """Return one expert's bias."""
        if factor.bias is None:
            return None
        expert, stacked = factor.matrix.expert, self.weights.vector(factor.bias)
        rows = self.matrix(factor.matrix).rows
        return stacked if expert is None else stacked[expert * rows : (expert + 1) * rows]

    def norm(self, shape: NormShape) -> tuple[object, ...]:
        weight, bias = self.optional(shape.weight), self.optional(shape.bias)
        return shape.width, shape.parts, shape.centred, shape.epsilon, weight, bias

    def heads(self, heads: Heads) -> tuple[object, ...]:
        exact = heads.state == "float32"
        shape = heads.heads, heads.kv_heads, heads.width
        return self.number(heads.source), *shape, heads.pool, heads.page_offset, exact

    def routing(self, routing: Routing) -> tuple[object, ...]:
        return (
            routing.scoring,
            routing.experts,
            routing.active,
            routing.renormalise,
            routing.floor,
            routing.scale,
            routing.jitter,
            self.optional(routing.correction),
            *routing.groups,
        )
