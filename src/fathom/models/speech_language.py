"""The model that listens and answers: sound becomes vectors, which stand in a decoder's prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Linear
from fathom.blocks.embedding import Given
from fathom.blocks.sound import SoundEncoder
from fathom.models.decoder import Decoder
from fathom.spec import speech_language as spec


class SpeechLanguage(nn.Module):
    """A tower, a map and a decoder; the decoder alone is driven like any other."""

    encoder: SoundEncoder
    connector: Linear
    decoder: Decoder

    def __init__(self, described: spec.SpeechLanguage) -> None:
        super().__init__()
        self.encoder = SoundEncoder(described.encoder)
        self.connector = Linear(described.connector)
        self.decoder = Decoder(described.decoder)
        self.spec = described

    def hear(self, spectrogram: Tensor, frames: Sequence[int]) -> list[Tensor]:
        """Return what is put into a prompt for each of several sounds, (places, width).

        `spectrogram` (sounds, bands, frames) holds whole windows, of which `frames` of each are
        sound and the rest silence that nothing looks at.
        """
        encoder = self.spec.encoder
        positions = encoder.positions.rows
        heard = torch.tensor([encoder.heard(each) for each in frames], device=spectrogram.device)
        real = torch.arange(positions, device=spectrogram.device) < heard[:, None]
        vectors = self.connector(self.encoder(spectrogram, real))
        return [row[: encoder.length(each)] for row, each in zip(vectors, frames, strict=True)]

    def forward(
        self, tokens: Tensor, spectrogram: Tensor | None = None, frames: Sequence[int] = ()
    ) -> Tensor:
        """Return scores (batch, length, vocabulary) for whole prompts.

        What is heard stands in the places of the placeholder, in the order of reading.
        """
        if spectrogram is None:
            return self.decoder(tokens)
        vectors = torch.cat(self.hear(spectrogram, frames))
        return self.decoder(tokens, given=Given(tokens == self.spec.placeholder, vectors))
