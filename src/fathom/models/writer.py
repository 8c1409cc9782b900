"""What all models share that write about something they have read or heard before."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Table
from fathom.blocks.build import Block
from fathom.blocks.cross import Source
from fathom.blocks.embedding import Output
from fathom.blocks.stack import Stack
from fathom.blocks.state import State, Step


class Writer(Block):
    """A decoder that looks at a source while it writes, and the output above it."""

    decoder: Stack
    output: Output

    def hidden(
        self,
        tokens: Tensor,
        source: Source,
        *,
        step: Step | None = None,
        state: State | None = None,
    ) -> Tensor:
        """Return the decoder's last hidden states for tokens written, (batch, length, width)."""
        step = step or Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        return self.decoder(tokens, step, self._table(), state=state, source=source)

    def scores(self, hidden: Tensor) -> Tensor:
        """Return a score per token of the vocabulary for hidden states (…, width)."""
        return self.output(hidden, self._table())

    def _table(self) -> Table:
        """The table that the decoder looks tokens up in."""
        return self.decoder.embedding.table()
