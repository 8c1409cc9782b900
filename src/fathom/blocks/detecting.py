"""What a detector is made of beside its towers: levels, layers that let both sides see, queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Convolution, GroupNorm, Linear, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.cross import CrossAttention
from fathom.blocks.deformable import DeformableAttention
from fathom.blocks.feed_forward import Mlp
from fathom.blocks.grid import centres
from fathom.blocks.prompts import Chain
from fathom.ops.attention import Scoring, attention
from fathom.ops.sinusoid import LONGEST, paired_waves
from fathom.spec import detector as spec

SURE = 1e-5  # no box is nearer to a border of a picture, or smaller, before a sigmoid
SMALLEST = 0.05  # the side of a box that is proposed at the finest level, as a part of the picture
BORDER = 0.01  # nothing is proposed nearer to a border


@dataclass(frozen=True)
class Places:
    """The maps of one size of picture: their (rows, columns), and the middle of every place.

    `middles` are (places, 2), x and y from 0 to 1, `levels` (places,) the number of its map.
    """

    grids: Sequence[tuple[int, int]]
    middles: Tensor
    levels: Tensor

    @classmethod
    def of(cls, grids: Sequence[tuple[int, int]], device: torch.device) -> Places:
        """Return the places of some maps."""
        counts = torch.tensor([rows * columns for rows, columns in grids], device=device)
        levels = torch.arange(len(grids), device=device).repeat_interleave(counts)
        return cls(grids, torch.cat([centres(grid, device) for grid in grids]), levels)


class Level(Block):
    """A map (batch, channels, rows, columns) → (batch, width, rows, columns)."""

    convolution: Convolution
    norm: GroupNorm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))


class PlacePositions(Block):
    """What tells a place of a map where it lies."""

    rows: Table | None
    columns: Table | None

    def __init__(self, described: spec.PlacePositions) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, grid: tuple[int, int], device: torch.device) -> Tensor:
        """Return (places, width): waves are those of the row first, learned ones of the column."""
        half = self.spec.width // 2
        lines = [torch.arange(side, device=device) for side in grid]
        if self.rows is not None and self.columns is not None:
            row, column = self.rows(lines[0]), self.columns(lines[1])
            first, second = column[None, :], row[:, None]
        else:
            turns = [(line + 1) / (len(line) + 1e-6) for line in lines]
            row, column = (paired_waves(one, half, self.spec.longest) for one in turns)
            first, second = row[:, None], column[None, :]
        both = (one.expand(*grid, half) for one in (first, second))
        return torch.cat(tuple(both), dim=-1).flatten(0, 1)


class Exchange(Block):
    """Places (batch, places, width) and tokens (batch, tokens, width) look at one another."""

    places_norm: Norm
    tokens_norm: Norm
    query: Linear
    key: Linear
    places_value: Linear
    tokens_value: Linear
    places_output: Linear
    tokens_output: Linear
    places_scales: Tensor
    tokens_scales: Tensor

    def __init__(self, described: spec.Exchange) -> None:
        super().__init__(described)
        self.heads = described.heads
        scale = (described.inner // described.heads) ** -0.5
        self.scoring = Scoring(scale=scale, causal=False)

    def forward(self, places: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        places, tokens = self.places_norm(places), self.tokens_norm(tokens)
        query, key = self._heads(self.query(places)), self._heads(self.key(tokens))
        read = self._looked(query, key, self.tokens_value(tokens), self.places_output)
        seen = self._looked(key, query, self.places_value(places), self.tokens_output)
        places = torch.addcmul(places, self.places_scales.to(places.dtype), read)
        return places, torch.addcmul(tokens, self.tokens_scales.to(tokens.dtype), seen)

    def _looked(self, query: Tensor, key: Tensor, value: Tensor, output: Linear) -> Tensor:
        mixed = attention(query, key, self._heads(value), self.scoring)
        return output(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, inner) → (batch, heads, length, inner / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class EnhancerLayer(Block):
    """Places and tokens see one another, then each their own."""

    exchange: Exchange
    phrase: CrossAttention
    phrase_norm: Norm
    words_feed_forward: Mlp
    words_feed_forward_norm: Norm
    places: DeformableAttention
    places_norm: Norm
    feed_forward: Mlp
    feed_forward_norm: Norm

    def forward(
        self, seen: Tensor, read: Tensor, together: Tensor, stand: Tensor, lie: Tensor, of: Places
    ) -> tuple[Tensor, Tensor]:
        """Return states of places (batch, places, width) and tokens (batch, tokens, width).

        `stand` tells tokens and `lie` places where they are; `together` is a mask of phrases.
        """
        seen, read = self.exchange(seen, read)
        told = read + stand
        read = self.phrase_norm(read + self.phrase.among(told, told, read, together[:, None]))
        read = self.words_feed_forward_norm(read + self.words_feed_forward(read))
        found = self.places(seen + lie, seen, of.grids, of.middles[None])
        seen = self.places_norm(seen + found)
        return self.feed_forward_norm(seen + self.feed_forward(seen)), read


def standing(positions: Tensor, width: int) -> Tensor:
    """Return what tells tokens where in their phrase they stand, (batch, length, width)."""
    return paired_waves(positions, width, LONGEST)


class Proposing(Block):
    """Every place proposes a box; those that fit the text best are kept."""

    dense: Linear
    norm: Norm
    boxes: Chain

    def forward(self, seen: Tensor, read: Tensor, of: Places, kept: int) -> Tensor:
        """Return the boxes of the `kept` places that fit a token best, (batch, kept, 4) float32.

        A box is its middle, width and height, as parts of the picture.
        """
        sizes = (SMALLEST * 2.0**of.levels)[:, None].expand(-1, 2)
        proposed = torch.cat((of.middles, sizes), dim=1)
        useful = ((proposed > BORDER) & (proposed < 1 - BORDER)).all(dim=1, keepdim=True)
        states = self.norm(self.dense(seen * useful))
        fits = torch.matmul(states, read.transpose(1, 2)).amax(dim=-1)
        best = fits.topk(kept, dim=1).indices  # (batch, kept)
        changed = self.boxes(states.gather(1, best[..., None].expand(-1, -1, states.shape[2])))
        begun = proposed.logit().masked_fill(~useful, float("inf"))
        return (changed.float() + begun[best]).sigmoid()


class QueryLayer(Block):
    """Queries (batch, queries, width) see one another, the text, and places of the picture."""

    own: CrossAttention
    own_norm: Norm
    words: CrossAttention
    words_norm: Norm
    places: DeformableAttention
    places_norm: Norm
    feed_forward: Mlp
    feed_forward_norm: Norm

    def forward(
        self, x: Tensor, lie: Tensor, boxes: Tensor, seen: Tensor, read: Tensor, of: Places
    ) -> Tensor:
        """Return states; `lie` (batch, queries, width) tells queries where their `boxes` are."""
        told = x + lie
        x = self.own_norm(x + self.own.among(told, told, x))
        x = self.words_norm(x + self.words.among(x + lie, read, read))
        x = self.places_norm(x + self.places(x + lie, seen, of.grids, boxes))
        return self.feed_forward_norm(x + self.feed_forward(x))


@dataclass(frozen=True)
class Boxes:
    """What queries found: `scores` (batch, queries, tokens) and `boxes` (batch, queries, 4).

    A box is its middle, width and height, as parts of the picture; `first` are those that queries
    began with, and `states` (batch, queries, width) what they ended with.
    """

    scores: Tensor
    boxes: Tensor
    first: Tensor
    states: Tensor


class QueryDecoder(Block):
    """Queries refine their boxes layer by layer."""

    begin: Table
    proposing: Proposing
    lying: Chain
    layers: nn.ModuleList
    norm: Norm
    boxes: nn.ModuleList

    def __init__(self, described: spec.QueryDecoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, seen: Tensor, read: Tensor, of: Places) -> Boxes:
        """Return boxes for what is seen (batch, places, width) and read (batch, tokens, width)."""
        boxes = first = self.proposing(seen, read, of, self.spec.queries)
        x = self.begin.weight.expand(len(seen), -1, -1)
        for number, layer in enumerate(self.layers):
            begun, changes = boxes, self.boxes[min(number, len(self.boxes) - 1)]
            x = layer(x, self.lying(self._waves(boxes).to(x.dtype)), boxes, seen, read, of)
            boxes = _refined(begun, changes(x))
        states = self.norm(x)
        scores = torch.matmul(states, read.transpose(1, 2)).float()
        return Boxes(scores, _refined(begun, changes(states)), first, states)

    def _waves(self, boxes: Tensor) -> Tensor:
        """Return (batch, queries, 2 · width): y, x, width and height, each as waves."""
        ordered = boxes[..., [1, 0, 2, 3]]
        return paired_waves(ordered, self.spec.width // 2, LONGEST).flatten(-2)


def _refined(boxes: Tensor, changes: Tensor) -> Tensor:
    """Return boxes whose logits were changed."""
    return (boxes.logit(eps=SURE) + changes.float()).sigmoid()
