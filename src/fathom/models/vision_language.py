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
        """Return what is put into a prompt for pictures (batch, channels, height, width).

        The result is (batch, places, width of the stream).
        """
        seeing = self.spec.seeing
        reached = self.vision.depths(pixels, seeing.depths)
        x = reached[0] if len(reached) == 1 else torch.cat(reached, dim=-1)
        return self.connector(
            x if seeing.keeps_summary else x[:, self.spec.vision.embedding.before :]
        )

    def forward(self, tokens: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Return scores (batch, length, vocabulary) for whole prompts.

        What is seen in pictures stands in the places of the placeholder, in the order of reading.
        """
        if pixels is None:
            return self.decoder(tokens)
        given = Given(tokens == self.spec.placeholder, self.look(pixels).flatten(0, 1))
        return self.decoder(tokens, given=given)
