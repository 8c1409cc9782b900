"""What answers prompts about a picture: places as waves, two-way attention, masks drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.cross import CrossAttention
from fathom.blocks.feed_forward import Mlp
from fathom.blocks.grid import as_grid, by_channel
from fathom.ops.activation import ACTIVATIONS
from fathom.spec import segmenter as spec


class MaskPrompt(Block):
    """Masks (prompts, 1, 4 · rows, 4 · columns) → states (prompts, width, rows, columns)."""

    first: Convolution
    first_norm: Norm
    second: Convolution
    second_norm: Norm
    last: Convolution

    def __init__(self, described: spec.MaskPrompt) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, masks: Tensor) -> Tensor:
        x = self.activation(by_channel(self.first_norm, self.first(masks)))
        x = self.activation(by_channel(self.second_norm, self.second(x)))
        return self.last(x)


class PromptEncoder(Block):
    """Prompts → states of their points and corners, and of each place."""

    frequencies: Tensor
    kinds: Table
    nothing: Table
    mask: MaskPrompt
    no_mask: Table

    def places(self, points: Tensor) -> Tensor:
        """Return the states of places (…, 2), as x and y from 0 to 1: (…, width)."""
        turns = (2 * points - 1).to(self.frequencies.dtype) @ self.frequencies
        return torch.cat(((2 * math.pi * turns).sin(), (2 * math.pi * turns).cos()), dim=-1)

    def marks(self, points: Tensor, kinds: Tensor) -> Tensor:
        """Return the states of points (prompts, points, 2) of `kinds` (prompts, points).

        A kind of -1 says that there is no point.
        """
        states = self.places(points) + self.kinds(kinds.clamp(min=0))
        return torch.where((kinds < 0)[..., None], self.nothing.weight[0], states)

    def dense(self, masks: Tensor | None) -> Tensor:
        """Return what is added to each place: (prompts, width, rows, columns), or for all."""
        return self.no_mask.weight[0][None, :, None, None] if masks is None else self.mask(masks)


class TwoWayLayer(Block):
    """Tokens (prompts, tokens, width) and places (prompts, places, width) see one another."""

    own: CrossAttention
    own_norm: Norm
    tokens_to_places: CrossAttention
    tokens_norm: Norm
    feed_forward: Mlp
    feed_forward_norm: Norm
    places_to_tokens: CrossAttention
    places_norm: Norm

    def __init__(self, described: spec.TwoWayLayer) -> None:
        super().__init__(described)
        self.first = described.first

    def forward(
        self, tokens: Tensor, places: Tensor, meant: Tensor, lie: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both; `meant` is what tokens stand for, `lie` where places lie.

        Places that all prompts share have one row, and a row for each prompt afterwards.
        """
        if self.first:
            tokens = self.own.among(tokens, tokens, tokens)
        else:
            told = tokens + meant
            tokens = tokens + self.own.among(told, told, tokens)
        tokens = self.own_norm(tokens)
        lying = places + lie
        tokens = tokens + self.tokens_to_places.among(tokens + meant, lying, places)
        tokens = self.tokens_norm(tokens)
        tokens = self.feed_forward_norm(tokens + self.feed_forward(tokens))
        lying = lying.expand(len(tokens), -1, -1)
        seen = self.places_to_tokens.among(lying, tokens + meant, tokens)
        return tokens, self.places_norm(places + seen)


class Chain(Block):
    """Linear maps with a ReLU between them."""

    maps: nn.ModuleList

    def forward(self, x: Tensor) -> Tensor:
        for place, one in enumerate(self.maps):
            x = one(x if place == 0 else functional.relu(x))
        return x


class MaskDecoder(Block):
    """States of prompts and places → masks, and how good each is expected to be."""

    quality_token: Table
    mask_tokens: Table
    layers: nn.ModuleList
    last: CrossAttention
    last_norm: Norm
    finer: Convolution
    finer_norm: Norm
    finest: Convolution
    drawing: nn.ModuleList
    quality: Chain

    def forward(
        self, marks: Tensor, places: Tensor, lie: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Return scores (prompts, answers, 4 · rows, 4 · columns), and quality (prompts, answers).

        `marks` are (prompts, marks, width), `places` (prompts or 1, places, width) and `lie`
        (places, width). The first answer is the single one.
        """
        own: Tensor = torch.cat((self.quality_token.weight, self.mask_tokens.weight))
        meant = torch.cat((own.expand(len(marks), -1, -1), marks), dim=1)
        tokens = meant
        for layer in self.layers:
            tokens, places = layer(tokens, places, meant, lie)
        found = self.last.among(tokens + meant, places + lie, places)
        tokens = self.last_norm(tokens + found)
        fine = self._fine(as_grid(places, grid))
        drawn = [draw(tokens[:, 1 + place]) for place, draw in enumerate(self.drawing)]
        masks = torch.stack(drawn, dim=1) @ fine.flatten(2)
        return masks.unflatten(2, tuple(fine.shape[2:])), self.quality(tokens[:, 0])

    def _fine(self, x: Tensor) -> Tensor:
        """Return the places four times as fine."""
        x = functional.gelu(by_channel(self.finer_norm, self.finer(x)))
        return functional.gelu(self.finest(x))
