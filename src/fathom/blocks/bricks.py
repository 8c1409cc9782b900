"""The bricks: linear maps, convolutions, norms and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.ops.activation import ACTIVATIONS
from fathom.ops.norm import layer_norm, rms_norm
from fathom.ops.planes import between, group_norm, of_each_place, three_by_three
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
        usual = parts.convolution(spec.inputs, spec.outputs, spec.kernel[0], bias=spec.bias)
        plain = replace(spec, role=usual.role) == usual  # of stride one, and padded
        self.side = spec.kernel[0] if plain else None
        kinds = _TRANSPOSED if spec.transposed else _CONVOLUTIONS
        self.slide = partial(
            kinds[len(spec.kernel)],
            stride=spec.stride,
            padding=spec.padding,
            dilation=spec.dilation,
            groups=spec.groups,
        )

    def forward(
        self,
        x: Tensor,
        *,
        shift: Tensor | None = None,
        added: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Pass planes; what a `shift`, something `added` and a `size` are says `ops.planes`."""
        x = x.to(self.weight.dtype)
        if self.side == 3:
            return three_by_three(x, self.weight, self.bias, shift, added, size)
        slide = of_each_place if self.side == 1 else self.slide
        whole = partial(slide, weight=self.weight, bias=self.bias)
        return between(whole, x, shift, added, size)


class GroupNorm(Brick):
    """A norm over groups of channels, in float32; its result is in the stream's type."""

    def __init__(self, spec: parts.GroupNorm) -> None:
        super().__init__(spec)
        self.groups, self.epsilon = spec.groups, spec.epsilon

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.groups, self.weight, self.bias, self.epsilon)

    def activated(self, x: Tensor, activation: str) -> Tensor:
        """Norm planes, and activate them by an activation's name."""
        if activation == "silu":
            return group_norm(x, self.groups, self.weight, self.bias, self.epsilon, silu=True)
        return ACTIVATIONS[activation](self(x))


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
