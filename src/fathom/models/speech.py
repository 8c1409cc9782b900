"""The model of speech: windows of sound heard whole, text written about each token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from fathom.blocks.cross import CrossLayer, Source
from fathom.blocks.sound import SoundEncoder
from fathom.blocks.state import State, Step
from fathom.models.writer import Writer
from fathom.spec import speech as spec


class Speech(Writer):
    """A tower that hears, and a decoder that looks at what was heard."""

    encoder: SoundEncoder

    def __init__(self, described: spec.Speech) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, spectrogram: Tensor, written: Tensor) -> Tensor:
        """Return scores (batch, length, vocabulary) for each place of `written` (batch, length).

        `spectrogram` is (batch, bands, frames).
        """
        return self.scores(self.hidden(written, self.hear(spectrogram)))

    def hear(self, spectrogram: Tensor) -> Source:
        """Hear windows of sound, (batch, bands, frames)."""
        return Source(self.encoder(spectrogram))

    def alignment(
        self, tokens: Tensor, source: Source, heads: Sequence[tuple[int, int]], state: State
    ) -> Tensor:
        """Return where some heads look for each of the tokens (1, length), read as a whole text.

        `heads` are pairs of layer and head; `state` holds the keys of the sound that was heard.
        The result is (heads, length, positions) float32; each row sums to one.
        """
        step = Step.dense(1, 0, tokens.shape[1], tokens.device)
        x = self.decoder.embedding(tokens, step, table=self._table())
        looks: dict[tuple[int, int], Tensor] = {}
        for number, layer in enumerate(self.decoder.layers):
            own = [head for at, head in heads if at == number]
            x, weights = cast(CrossLayer, layer).aligned(x, step, state.layers[number], source, own)
            looks |= {(number, head): weights[0, row] for row, head in enumerate(own)}
        return torch.stack([looks[pair] for pair in heads])
