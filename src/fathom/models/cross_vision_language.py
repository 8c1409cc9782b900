"""Models whose decoder looks at pictures beside its text: a tower, a map, and that decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.cross import LookingLayer, Source
from fathom.blocks.embedding import Embedding, Output
from fathom.blocks.state import Passing, State, Step
from fathom.blocks.tiles import TileEncoder
from fathom.spec import cross_vision_language as spec

_PASSING = Passing()


class LookingDecoder(Block):
    """A decoder, some of whose layers look at a source where there is one."""

    embedding: Embedding
    layers: nn.ModuleList
    norm: Norm
    output: Output

    def __init__(self, described: spec.LookingDecoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, tokens: Tensor, source: Source | None = None) -> Tensor:
        """Return scores, (batch, length, vocabulary), for whole texts (batch, length)."""
        return self.scores(self.hidden(tokens, source))

    def hidden(
        self,
        tokens: Tensor,
        source: Source | None = None,
        *,
        step: Step | None = None,
        state: State | None = None,
    ) -> Tensor:
        """Return the last hidden states, after the final norm: (batch, length, width).

        Without a `step` the tokens are whole texts; without a `state` nothing is kept.
        """
        step = step or Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        x = self.embedding(tokens, step)
        states = [_PASSING] * len(self.layers) if state is None else state.layers
        for layer, memory in zip(self.layers, states, strict=True):
            if not isinstance(layer, LookingLayer):
                x = layer(x, step, memory)
            elif source is not None:
                x = layer.look(x, memory, source)
        return self.norm(x)

    def scores(self, hidden: Tensor) -> Tensor:
        """Return a score per token of the vocabulary for hidden states (…, width)."""
        return self.output(hidden, self.embedding.table())


class CrossVisionLanguage(nn.Module):
    """A tower, a map and a decoder; the decoder is driven with what was seen beside it."""

    vision: TileEncoder
    connector: Linear
    decoder: LookingDecoder

    def __init__(self, described: spec.CrossVisionLanguage) -> None:
        super().__init__()
        self.vision = TileEncoder(described.vision)
        self.connector = Linear(described.connector)
        self.decoder = LookingDecoder(described.decoder)
        self.spec = described

    def look(self, pixels: Tensor, arrangement: tuple[int, int]) -> Tensor:
        """Return what a decoder looks at of one picture, (places of all tiles, width)."""
        return self.connector(self.vision(pixels, arrangement))

    def forward(
        self, tokens: Tensor, pictures: Sequence[tuple[Tensor, tuple[int, int]]] = ()
    ) -> Tensor:
        """Return scores (1, length, vocabulary) for a whole prompt, (1, length).

        Each of its pictures, arguments of `look`, stands at one of its placeholders.
        """
        if not pictures:
            return self.decoder(tokens)
        starts = (tokens[0] == self.spec.placeholder).nonzero()[:, 0].tolist()
        vectors = [self.look(*picture) for picture in pictures]
        real = [len(pixels) * self.spec.vision.places for pixels, _ in pictures]
        seen = sights(spec.spans(starts), 0, tokens.shape[1])
        return self.decoder(tokens, looked_at(vectors, real, seen))


def sights(spans: Sequence[tuple[int, int | None]], first: int, end: int) -> Tensor:
    """Return which pictures, by their spans, tokens look at: (tokens first … end, pictures)."""
    places = torch.arange(first, end)[:, None]
    starts = torch.tensor([start for start, _ in spans])
    ends = torch.tensor([end if to is None else to for _, to in spans])
    return (places >= starts) & (places < ends)


def looked_at(vectors: Sequence[Tensor], real: Sequence[int], seen: Tensor) -> Source:
    """Return pictures as a decoder looks at them: those that each token sees, and what is real.

    Args:
        vectors: (places, width) of each picture.
        real: how many places of each are of tiles that are not empty; they are the first ones.
        seen: (tokens, pictures), True where a token looks at a picture.
    """
    found = [
        own[:, None] & (torch.arange(len(each)) < filled)
        for own, each, filled in zip(seen.T, vectors, real, strict=True)
    ]
    return Source.partly(torch.cat(tuple(vectors))[None], torch.cat(found, dim=1)[None])
