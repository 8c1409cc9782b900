"""What draws a picture under a style: convolutions, colours, and levels of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Linear
from fathom.blocks.build import Block
from fathom.ops.resampling import smooth, twice_as_fine
from fathom.spec import generator as spec

LEAK, KEPT = 0.2, 2**0.5  # what a leaky ReLU lets through, and what keeps its variance
HALF = 0.5**0.5  # of a sum of two, to keep its variance
LEAST = 1e-8  # of a variance


def mapped(dense: nn.Module, x: Tensor, rate: float = 1.0) -> Tensor:
    """Return a linear map whose weights are scaled by how many numbers come in, and by a rate."""
    weight, bias = dense.get_parameter("weight"), dense.get_parameter("bias")
    scale = rate * weight.shape[1] ** -0.5
    return functional.linear(x.to(weight.dtype) * scale, weight, bias * rate)


def unit(x: Tensor) -> Tensor:
    """Return vectors (batch, width) whose mean square is one."""
    return x * (x.square().mean(dim=1, keepdim=True) + LEAST).rsqrt()


class StyleMapping(Block):
    """Vectors (batch, latent) → styles (batch, width)."""

    kinds: Linear | None
    maps: nn.ModuleList
    average: Tensor | None

    def __init__(self, described: spec.StyleMapping) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, latent: Tensor, kinds: Tensor | None = None) -> Tensor:
        """Return styles; `kinds` (batch, kinds) has a one at what is to be drawn."""
        x = unit(latent)
        if self.kinds is not None and kinds is not None:
            x = torch.cat((x, unit(mapped(self.kinds, kinds))), dim=1)
        for dense in self.maps:
            x = functional.leaky_relu(mapped(dense, x, self.spec.rate), LEAK) * KEPT
        return x


class StyledConvolution(Block):
    """A drawing (batch, inputs, …) and styles (batch, style) → (batch, outputs, side, side)."""

    scales: Linear
    kernel: Convolution
    noise: Tensor | None
    strength: Tensor | None

    def __init__(self, described: spec.StyledConvolution) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, x: Tensor, style: Tensor, chance: torch.Generator | None) -> Tensor:
        """Return the drawing; noise is what is kept of it, or drawn anew by `chance`."""
        weight, batch = self._weight(style), len(x)
        if batch > 1:  # each picture's weights are its own: they act on a group of channels
            x = x.reshape(1, -1, *x.shape[2:])
        if self.spec.taps is None:
            x = functional.conv2d(x, weight.flatten(0, 1), padding=1, groups=batch)
        else:
            weight = weight.transpose(1, 2).flatten(0, 1).contiguous()
            x = functional.conv_transpose2d(x, weight, stride=2, groups=batch)
            x = smooth(x, self.spec.taps)
        x = x.unflatten(1, (batch, -1))[0] if batch > 1 else x
        if self.noise is not None and self.strength is not None:
            noise = self.noise if chance is None else _noise(x, chance)
            x = x.add_((noise.float() * self.strength.float()).to(x.dtype))
        x = x if self.kernel.bias is None else x.add_(self.kernel.bias[:, None, None])
        x = functional.leaky_relu_(x, LEAK).mul_(KEPT * self.spec.gain)
        bound = self.spec.bound
        return x if bound is None else x.clamp_(-bound * self.spec.gain, bound * self.spec.gain)

    def _weight(self, style: Tensor) -> Tensor:
        """Return the kernel of each picture, (batch, outputs, inputs, 3, 3)."""
        scales = mapped(self.scales, style).float()
        kernel = self.kernel.weight.float()
        power = scales.square() @ kernel.square().sum(dim=(2, 3)).T  # (batch, outputs)
        back = (power + LEAST).rsqrt()
        scaled = kernel * scales[:, None, :, None, None] * back[:, :, None, None, None]
        return scaled.to(self.kernel.weight.dtype)


def _noise(x: Tensor, chance: torch.Generator) -> Tensor:
    """Return noise for each picture of a drawing, (batch, 1, rows, columns)."""
    shape = (len(x), 1, *x.shape[2:])
    return torch.randn(shape, generator=chance, device=chance.device).to(x.device)


class StyledColours(Block):
    """A drawing (batch, inputs, side, side) → colours (batch, colours, side, side)."""

    scales: Linear
    kernel: Convolution

    def __init__(self, described: spec.StyledColours) -> None:
        super().__init__(described)
        self.bound = described.bound

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.kernel.weight[..., 0, 0]  # (colours, inputs)
        scales = mapped(self.scales, style) * weight.shape[1] ** -0.5
        said = torch.matmul(weight * scales[:, None], x.flatten(2))
        said = said if self.kernel.bias is None else said + self.kernel.bias[:, None]
        said = said if self.bound is None else said.clamp_(-self.bound, self.bound)
        return said.unflatten(2, x.shape[2:])


class DrawingLevel(Block):
    """A drawing, and a style for each of its convolutions and its colours → a finer drawing."""

    convolutions: nn.ModuleList
    colours: StyledColours | None
    residual: Convolution | None

    def __init__(self, described: spec.DrawingLevel) -> None:
        super().__init__(described)
        self.taps = described.taps

    def forward(
        self, x: Tensor, styles: Tensor, chance: torch.Generator | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the drawing, and the level's own colours where it says any.

        `styles` are (batch, convolutions + 1, style).
        """
        around = None if self.residual is None else self._around(x, self.residual)
        for number, one in enumerate(self.convolutions):
            x = one(x, styles[:, number], chance)
        x = x if around is None else x.add_(around)
        return x, None if self.colours is None else self.colours(x, styles[:, -1])

    def _around(self, x: Tensor, way: Convolution) -> Tensor:
        weight = way.weight * (HALF * way.weight.shape[1] ** -0.5)
        return twice_as_fine(functional.conv2d(x, weight), self.taps)
