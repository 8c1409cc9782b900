"""The sequence-to-sequence model: a text read whole, another written token by token."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Table
from fathom.blocks.cross import Source
from fathom.blocks.stack import Stack
from fathom.blocks.state import Step
from fathom.models.writer import Writer
from fathom.spec import encoder_decoder as spec


class EncoderDecoder(Writer):
    """An encoder, and a decoder that looks at what it read."""

    encoder: Stack

    def __init__(self, described: spec.EncoderDecoder) -> None:
        super().__init__(described)
        self.spec = described

    def forward(
        self,
        read: Tensor,
        written: Tensor,
        *,
        read_step: Step | None = None,
        step: Step | None = None,
    ) -> Tensor:
        """Return scores (batch, length, vocabulary) for each place of `written` (batch, length).

        `read` is (batch, source length); a step marks padding, without one there is none.
        """
        source = self.encode(read, step=read_step)
        return self.scores(self.hidden(written, source, step=step))

    def encode(self, tokens: Tensor, *, step: Step | None = None) -> Source:
        """Read a batch of texts, (batch, source length)."""
        step = step or Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        hidden = self.encoder(tokens, step, self.encoder.embedding.table())
        return Source(hidden, None if step.start is not None else step.positions >= 0)

    def _table(self) -> Table:
        """The table that the decoder looks tokens up in."""
        shared = self.spec.decoder.embedding.shared
        return (self.encoder if shared else self.decoder).embedding.table()
