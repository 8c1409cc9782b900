"""The bricks: linear maps, convolutions, norms and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.ops.norm import layer_norm, rms_norm
from fathom.spec import parts

_Slide: TypeAlias = Callable[..., Tensor]

# By the number of axes.
_CONVOLUTIONS: Mapping[int, _Slide] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
_TRANSPOSED: Mapping[int, _Slide] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


class Brick(nn.Module):
    """A module that holds just the tensors which its spec names; the others are None."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, spec: parts.Leaf) -> None:
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


class Convolution(Brick):
    """A kernel over the last one to three axes of (batch, inputs, …), in the weight's type."""

    weight: Tensor

    def __init__(self, spec: parts.Convolution) -> None:
        super().__init__(spec)
        kinds = _TRANSPOSED if spec.transposed else _CONVOLUTIONS
        self.slide = partial(
            kinds[len(spec.kernel)],
            stride=spec.stride,
            padding=spec.padding,
            dilation=spec.dilation,
            groups=spec.groups,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.slide(x.to(self.weight.dtype), self.weight, self.bias)


class GroupNorm(Brick):
    """A norm over groups of channels, in float32; its result is in the stream's type."""

    def __init__(self, spec: parts.GroupNorm) -> None:
        super().__init__(spec)
        self.groups, self.epsilon = spec.groups, spec.epsilon

    def forward(self, x: Tensor) -> Tensor:
        exact = x if x.device.type == "cpu" else x.float()  # there sums are float32 by themselves
        normed = functional.group_norm(exact, self.groups, self.weight, self.bias, self.epsilon)
        return normed.to(x.dtype)


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
