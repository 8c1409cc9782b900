"""The encoder-only text model: tokens in, hidden states or the scores of its head out."""

from __future__ import annotations

from torch import Tensor, nn

from fathom.blocks.bricks import Norm
from fathom.blocks.build import Block
from fathom.blocks.embedding import Embedding
from fathom.blocks.state import Passing, Step
from fathom.spec import encoder as spec

_PASSING = Passing()


class Encoder(Block):
    """A stack of layers in which every token sees every other, under a head or bare."""

    embedding: Embedding
    layers: nn.ModuleList
    norm: Norm | None
    head: nn.Module | None

    def __init__(self, described: spec.Encoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(
        self, tokens: Tensor, *, step: Step | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Return what the head says of token ids (batch, length), or else hidden states.

        Without a `step` the tokens are whole texts of one length. `types` (batch, length) tells
        the first text of a pair (0) from the second (1); unsaid, all is the first.
        """
        step = step or whole(tokens)
        return self.scores(self.hidden(tokens, step=step, types=types), step)

    def hidden(
        self, tokens: Tensor, *, step: Step | None = None, types: Tensor | None = None
    ) -> Tensor:
        """Return the last hidden states, after the final norm: (batch, length, width)."""
        step = step or whole(tokens)
        x = self.embedding(tokens, step, types=types)
        for layer in self.layers:
            x = layer(x, step, _PASSING)
        return x if self.norm is None else self.norm(x)

    def scores(self, hidden: Tensor, step: Step) -> Tensor:
        """Return what the head says of hidden states, whose shape is the head's affair."""
        return hidden if self.head is None else self.head(hidden, step, self.embedding.table())


def whole(tokens: Tensor) -> Step:
    """Return the step of a batch of whole texts without padding."""
    return Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
