"""Models that read, see and hear: pictures and sound become vectors in a decoder's prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.blocks.bricks import Linear, Table
from fathom.blocks.sound import SoundEncoder
from fathom.models.vision_language import VisionLanguage
from fathom.spec import omni as spec


class Omni(VisionLanguage):
    """A model that sees, with a tower that hears and a map beside."""

    encoder: SoundEncoder
    hearing: Linear
    borders: Table

    def __init__(self, described: spec.Omni) -> None:
        super().__init__(described)
        self.voiced = described.voiced  # frames of a sound → places
        self.encoder = SoundEncoder(described.encoder)
        self.hearing = Linear(described.hearing)
        self.borders = Table(described.parts()["borders"])  # type: ignore[arg-type]  # a table

    def hear(self, spectrogram: Tensor) -> Tensor:
        """Return what is put into a prompt for a sound, (bands, frames) → (places, width).

        It is heard in pieces, of which the last may be shorter.
        """
        encoder = self.encoder.spec
        whole = spectrogram.shape[1] // encoder.frames * encoder.frames
        pieces = spectrogram[:, :whole].unflatten(1, (-1, encoder.frames)).transpose(0, 1)
        states = [self.encoder(some).flatten(0, 1) for some in pieces.split(spec.TOGETHER)]
        left = spectrogram[:, whole:]
        if encoder.length(left.shape[1]):
            states.append(self.encoder(left[None])[0])
        return self.hearing(torch.cat(states))
