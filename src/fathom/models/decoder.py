"""The decoder-only text model: tokens in, a score for every possible next token out."""

from __future__ import annotations

from torch import Tensor, nn

from fathom.blocks.bricks import Norm
from fathom.blocks.build import Block
from fathom.blocks.embedding import Embedding, Given, Output
from fathom.blocks.state import Passing, State, Step
from fathom.spec import decoder as spec

_PASSING = Passing()


class Decoder(Block):
    """A stack of layers between an embedding and an output."""

    embedding: Embedding
    layers: nn.ModuleList
    norm: Norm | None
    output: Output

    def __init__(self, described: spec.Decoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(
        self,
        tokens: Tensor,
        *,
        step: Step | None = None,
        state: State | None = None,
        given: Given | None = None,
    ) -> Tensor:
        """Return scores, (batch, length, vocabulary), for token ids (batch, length).

        Without a `step` the tokens are whole sequences from position 0; without a `state`
        nothing is kept.
        """
        return self.scores(self.hidden(tokens, step=step, state=state, given=given))

    def hidden(
        self,
        tokens: Tensor,
        *,
        step: Step | None = None,
        state: State | None = None,
        given: Given | None = None,
    ) -> Tensor:
        """Return the last hidden states, after the final norm: (batch, length, width).

        Vectors that are `given` stand in the places of tokens, whose ids there do not matter.
        """
        if step is None:
            step = Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        x = self.embedding(tokens, step, given=given)
        states = [_PASSING] * len(self.layers) if state is None else state.layers
        for layer, memory in zip(self.layers, states, strict=True):
            x = layer(x, step, memory)
        return x if self.norm is None else self.norm(x)

    def scores(self, hidden: Tensor) -> Tensor:
        """Return a score per token of the vocabulary for hidden states (…, width)."""
        return self.output(hidden, self.embedding.table())
