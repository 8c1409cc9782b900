"""A tower that reads phrase by phrase: a token sees those of its own phrase only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Linear
from fathom.blocks.build import Block
from fathom.blocks.embedding import Embedding
from fathom.blocks.state import Passing, Step
from fathom.ops.attention import Scoring, attention
from fathom.spec import detector as spec


@dataclass(frozen=True)
class Phrases:
    """Which tokens belong together, (batch, length, length), and where each stands in its phrase.

    `positions` are (batch, length). The ends of the whole text belong to no phrase.
    """

    together: Tensor
    positions: Tensor

    @classmethod
    def of(cls, tokens: Tensor, ends: tuple[int, ...]) -> Phrases:
        """Return the phrases of token ids (batch, length); each ends with one of `ends`."""
        length = tokens.shape[1]
        place = torch.arange(length, device=tokens.device).expand_as(tokens)
        ending = torch.isin(tokens, torch.tensor(ends, device=tokens.device))
        before = torch.where(ending, place, -1).cummax(dim=1).values
        before = torch.cat((torch.full_like(before[:, :1], -1), before[:, :-1]), dim=1)
        following = torch.where(ending, place, length).flip(1).cummin(dim=1).values.flip(1)
        inner = (following > 0) & (following < length - 1)
        same = following[:, :, None] == following[:, None, :]
        alone = torch.eye(length, dtype=torch.bool, device=tokens.device)
        together = (same & inner[:, :, None]) | alone
        return cls(together, torch.where(inner, place - before - 1, 0).clamp(min=0))


class _Within(Passing):
    """A state in which tokens see those of their own phrase."""

    def __init__(self, together: Tensor) -> None:
        self.mask = together[:, None]

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        return attention(query, key, value, scoring, self.mask)


class PhraseReader(Block):
    """Token ids (batch, length) → states (batch, length, the detector's width)."""

    embedding: Embedding
    layers: nn.ModuleList
    projection: Linear

    def __init__(self, described: spec.PhraseReader) -> None:
        super().__init__(described)
        self.ends = described.ends

    def forward(self, tokens: Tensor) -> tuple[Tensor, Phrases]:
        """Return states, and the phrases of the text."""
        phrases = Phrases.of(tokens, self.ends)
        step, state = Step(phrases.positions), _Within(phrases.together)
        x = self.embedding(tokens, step)
        for layer in self.layers:
            x = layer(x, step, state)
        return self.projection(x), phrases
