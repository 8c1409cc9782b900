"""Models that see and write: pictures become vectors, which stand in a decoder's prompt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.blocks.embedding import Given
from fathom.blocks.vision import VisionEncoder
from fathom.blocks.vision_language import Connector
from fathom.models.decoder import Decoder
from fathom.spec import vision_language as spec


class VisionLanguage(nn.Module):
    """A tower, a connector and a decoder; the decoder alone is driven like any other."""

    vision: VisionEncoder
    connector: Connector
    decoder: Decoder

    def __init__(self, described: spec.VisionLanguage) -> None:
        super().__init__()
        self.vision = VisionEncoder(described.vision)
        self.connector = Connector(described.connector)
        self.decoder = Decoder(described.decoder)
        self.spec = described

    def look(self, pixels: Tensor) -> Tensor:
        """Return what is put into a prompt for pictures of one size.

        `pixels` is (batch, channels, height, width), or for a tower that goes through frames
        (batch, channels, frames, height, width); the result is (batch, places, width of the
        stream). No more than `TOGETHER` are in the tower at once.
        """
        return torch.cat([self._looked(some) for some in pixels.split(spec.TOGETHER)])

    def _looked(self, pixels: Tensor) -> Tensor:
        seeing, embedding = self.spec.seeing, self.spec.vision.embedding
        reached = self.vision.depths(pixels, seeing.depths)
        if seeing.normed and self.vision.norm is not None:
            reached = [self.vision.norm(x) for x in reached]
        x = reached[0] if len(reached) == 1 else torch.cat(reached, dim=-1)
        kept = x if seeing.keeps_summary else x[:, embedding.before :]
        return self.connector(kept, embedding.cut(*pixels.shape[-2:]))

    def forward(self, tokens: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Return scores (batch, length, vocabulary) for whole prompts.

        What is seen in pictures stands in the places of the placeholder, in the order of reading,
        and is not spread over rows and columns.
        """
        if pixels is None:
            return self.decoder(tokens)
        given = Given(tokens == self.spec.placeholder, self.look(pixels).flatten(0, 1))
        return self.decoder(tokens, given=given)
