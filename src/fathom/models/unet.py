"""The denoiser of planes, and the net that steers one by a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Convolution, GroupNorm
from fathom.blocks.build import Block
from fathom.blocks.spatial import Descent, Hint, Prompt, UnetLevel, added_to
from fathom.spec import unet as spec


@dataclass(frozen=True)
class Steering:
    """What a guide adds to a denoiser: at each point of the way down, and at the lowest."""

    left: tuple[Tensor, ...]
    lowest: Tensor

    def __add__(self, other: Steering) -> Steering:
        left = tuple(added_to(self.left, other.left))
        return Steering(left, self.lowest + other.lowest)


class Unet(Block):
    """Planes in, a prediction of the same size out.

    planes ─ enter ─ down ─┬─ down ─┬─ middle ─ up ─ up ─ leave ─► prediction
                           └────────┴──────────┴────┘
    """

    descent: Descent
    levels: nn.ModuleList
    norm: GroupNorm
    leave: Convolution

    def __init__(self, described: spec.Unet) -> None:
        super().__init__(described)
        self.spec = described
        self.activation = described.activation

    def forward(
        self,
        planes: Tensor,
        moments: Tensor,
        prompt: Prompt | Tensor,
        *,
        vector: Tensor | None = None,
        sizes: Tensor | None = None,
        condition: Tensor | None = None,
        steering: Steering | None = None,
    ) -> Tensor:
        """Return the prediction for planes (batch, channels, height, width).

        `moments` is (batch,); the prompt's hidden states are (batch, tokens, text width), as a
        `Prompt` where they are the same at every step. `vector` (batch, n) and `sizes` (batch, m)
        are told beside it, where the model takes such, and the `condition` a student was taught.
        """
        prompt = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
        planes = planes.contiguous(memory_format=torch.channels_last)
        planes = 2 * planes - 1 if self.spec.centred else planes
        time = self.descent.moment(moments, vector=vector, sizes=sizes, condition=condition)
        x, left = self.descent(planes, time, prompt)
        if steering is not None:
            left, x = added_to(left, steering.left), x + steering.lowest
        for level in self.levels:
            x = cast(UnetLevel, level).up(x, time, prompt, left)
        return self.leave(self.norm.activated(x, self.activation))


class ControlNet(Block):
    """A picture in, what is to be added to a denoiser out."""

    descent: Descent
    hint: Hint
    left: nn.ModuleList
    lowest: Convolution

    def __init__(self, described: spec.ControlNet) -> None:
        super().__init__(described)
        self.spec = described

    def forward(
        self,
        planes: Tensor,
        moments: Tensor,
        prompt: Prompt | Tensor,
        picture: Tensor,
        *,
        scale: float = 1.0,
        vector: Tensor | None = None,
        sizes: Tensor | None = None,
    ) -> Steering:
        """Return what steers a denoiser; `picture` is (batch, channels, height, width) in [0, 1].

        Other arguments are as the denoiser's; all that is added is multiplied by `scale`.
        """
        prompt = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
        planes = planes.contiguous(memory_format=torch.channels_last)
        time = self.descent.moment(moments, vector=vector, sizes=sizes)
        picture = picture.flip(1) if self.spec.bgr else picture
        x, left = self.descent(planes, time, prompt, self.hint(picture))
        steered = (map_(each) * scale for map_, each in zip(self.left, left, strict=True))
        return Steering(tuple(steered), self.lowest(x) * scale)
