"""The bricks: linear maps, norms and tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.ops.norm import layer_norm, rms_norm
from fathom.spec import parts


class Brick(nn.Module):
    """A module that holds just the tensors which its spec names; the others are None."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, spec: parts.Linear | parts.Norm | parts.Table) -> None:
        super().__init__()
        shapes = spec.tensors()
        for name in ("weight", "bias"):
            empty = torch.empty(shapes[name]) if name in shapes else None
            self.register_parameter(
                name, None if empty is None else nn.Parameter(empty, requires_grad=False)
            )


class Linear(Brick):
    """``x @ weight.T + bias``, in the weight's type, whatever the type of a more exact stream."""

    weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


class Norm(Brick):
    """A norm over the last axis; its weights stay in float32, its result in the stream's type."""

    def __init__(self, spec: parts.Norm) -> None:
        super().__init__(spec)
        self.width = spec.width
        self.epsilon = spec.epsilon
        self.groups = spec.groups
        self.centred = spec.kind == "layer"

    def forward(self, x: Tensor) -> Tensor:
        if self.centred:
            return layer_norm(x, self.weight, self.bias, self.epsilon, self.groups)
        return rms_norm(x, self.weight, self.epsilon, self.groups)


class Table(Brick):
    """Rows to look up by number."""

    weight: Tensor

    def forward(self, rows: Tensor) -> Tensor:
        return functional.embedding(rows, self.weight)
