"""Models that see: a tower under a head, and two towers whose vectors are compared."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.blocks.vision import Sight, TextTower
from fathom.spec import vision as spec


@dataclass(frozen=True)
class Seen:
    """What a model makes of pictures.

    `states` are (batch, tokens, width), `vectors` (batch, vector) and `scores` of labels (batch,
    labels), each only where the model makes such.
    """

    states: Tensor
    vectors: Tensor | None
    scores: Tensor | None = None


class PictureEncoder(Block):
    """Pictures in, their states, vectors and scores of labels out."""

    sight: Sight
    head: Linear | None

    def __init__(self, described: spec.PictureEncoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, pixels: Tensor) -> Seen:
        """Return what is seen in pictures (batch, channels, height, width)."""
        states, vectors = self.sight(pixels)
        scores = None if self.head is None or vectors is None else self.head(vectors)
        return Seen(states, vectors, scores)


class PictureText(Block):
    """Pictures and texts in, vectors of both out, and how well each fits the other."""

    vision: Sight
    text: TextTower
    scale: Tensor
    offset: Tensor | None

    def __init__(self, described: spec.PictureText) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, pixels: Tensor, tokens: Tensor, ends: Tensor | None = None) -> Tensor:
        """Return how well pictures fit texts (texts, length): (pictures, texts), float32."""
        return self.scores(self.vision(pixels)[1], self.text(tokens, ends))

    def scores(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Return how well vectors (pictures, vector) and (texts, vector) fit, in float32."""
        one = functional.normalize(pictures.float(), dim=-1)
        other = functional.normalize(texts.float(), dim=-1)
        fits = one @ other.T * self.scale.float().exp()
        return fits if self.offset is None else fits + self.offset.float()
