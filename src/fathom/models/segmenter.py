"""The segmenter: a picture is looked at once, prompts about it are answered with masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.blocks.build import Block
from fathom.blocks.grid import GridEncoder, as_places, centres
from fathom.blocks.prompts import MaskDecoder, PromptEncoder
from fathom.spec import segmenter as spec

ABSENT, OUTSIDE, INSIDE, FIRST_CORNER, LAST_CORNER = -1, 0, 1, 2, 3  # kinds of marks


@dataclass(frozen=True)
class Drawn:
    """Answers: `scores` above zero are inside of a mask, (prompts, answers, rows, columns).

    `quality` (prompts, answers) is the intersection over union that is expected. The first answer
    is the single one, for prompts that leave no doubt.
    """

    scores: Tensor
    quality: Tensor


class Segmenter(Block):
    """What is seen in a picture is worked out once, for any number of prompts."""

    vision: GridEncoder
    prompt: PromptEncoder
    decoder: MaskDecoder

    def __init__(self, described: spec.Segmenter) -> None:
        super().__init__(described)
        self.spec = described

    def forward(
        self, pixels: Tensor, points: Tensor, kinds: Tensor, masks: Tensor | None = None
    ) -> Drawn:
        """Return the answers to prompts about one picture, (1, channels, height, width)."""
        return self.answered(self.seen(pixels), points, kinds, masks)

    def seen(self, pixels: Tensor) -> Tensor:
        """Return what is seen in pictures: (batch, width, rows, columns)."""
        return self.vision(pixels)

    def answered(
        self, seen: Tensor, points: Tensor, kinds: Tensor, masks: Tensor | None = None
    ) -> Drawn:
        """Return the answers to prompts about what is seen in one picture.

        Args:
            seen: (1, width, rows, columns).
            points: of each prompt, (prompts, points, 2), x and y in the model's own pixels.
            kinds: of each point, (prompts, points): outside, inside, a corner, or absent.
            masks: scores of before, (prompts, 1, 4 · rows, 4 · columns).
        """
        height, width = self.spec.vision.picture
        size = torch.tensor([width, height], device=points.device)
        marks = self.prompt.marks((points + 0.5) / size, kinds)
        places = as_places(seen + self.prompt.dense(masks))
        lie = self.prompt.places(centres(self.spec.vision.grid, points.device))
        return Drawn(*self.decoder(marks, places, lie, self.spec.vision.grid))
