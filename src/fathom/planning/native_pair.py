"""What a model that looks at a source takes as a pair of native programs: bytes and seconds.

Read off the two plans that run, as `planning.native_program` has it for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fathom.planning.native import NUMBER, STEPS, Packed, Programs
from fathom.planning.native_program import Native
from fathom.planning.predict import Growth, Prediction
from fathom.planning.probe import NativeRates
from fathom.planning.speed import MAPS, NUMBERS, SCORES, STATE, WEIGHTS
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.steps import Matrix
from fathom.spec.parts import Part


@dataclass(frozen=True)
class NativePair(Programs):
    """A model as two programs: one leaves keys and values of a source, the other writes."""

    reader: Native
    writer: Native

    @cached_property
    def matrices(self) -> Mapping[Matrix, Packed]:
        """Encoding, rows and columns of every matrix, those that both programs read once."""
        return {**self.reader.matrices, **self.writer.matrices}

    @property
    def held(self) -> Part:
        """The whole model."""
        return self.writer.spec

    @property
    def measured(self) -> NativeRates | None:
        """Rates of the kernels."""
        return self.writer.measured

    @property
    def vocabulary(self) -> int:
        """Entries of the vocabulary."""
        return self.writer.vocabulary

    @property
    def whole(self) -> bool:
        """It writes."""
        return False

    def state_bytes(self, context: int, read: int) -> int:
        """Return the bytes of pages of `context` tokens written about a source of `read`."""
        own = self.writer.plan.state_bytes(context, self.writer.most_tokens)
        return own + self.writer.plan.source_bytes(read)

    def row_bytes(self, together: int, batch: int) -> int:
        """Return the bytes of rows and scores, with so many tokens of a source read together.

        What layers that read leave for one another is theirs too.
        """
        plan = self.reader.plan
        read = together * plan.row_bytes() + plan.page_bytes(together, together)
        written = batch * (self.writer.plan.row_bytes() + NUMBER * self.writer.plan.vocabulary)
        return read + written

    def state(self, context: int, batch: int) -> int:
        """Return the bytes of pages of `batch` texts, about sources as long."""
        return batch * self.state_bytes(context, context)

    def rows(self, context: int, batch: int) -> int:
        """Return the bytes of rows, for a source of `context` tokens."""
        return self.row_bytes(min(context, self.reader.most_tokens), batch)

    def told_state(self, found: Prediction) -> str:
        """Return the pages of what is written and of what was read."""
        plan = self.writer.plan
        own = plan.state_bytes(found.context, self.writer.most_tokens)
        return (
            f"{found.batch} text(s) × pages of {PAGE_TOKENS} tokens: {own:,} bytes of what is"
            f" written + {plan.source_bytes(found.context):,} of what was read"
        )

    def told_rows(self, found: Prediction) -> str:
        """Return how many tokens of a source are read together."""
        together = min(found.context, self.reader.most_tokens)
        return (
            f"{together:,} tokens read together × {self.reader.plan.row_bytes():,} bytes,"
            " and keys of one layer at a time; a row of scores each"
        )

    def growth(self, context: int, batch: int) -> Growth | None:
        """Return None: how much of the room is taken depends on two lengths."""
        return None

    def step_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds of one more token of each row, about a source of as many tokens."""
        rates = self.measured
        if rates is None:
            return None
        operations = self.writer.score_operations(context, read=context)
        return {
            WEIGHTS: self.writer.product_seconds(rates, batch, scored=batch),
            STATE: batch * operations / rates.attention_step,
            STEPS: len(self.writer.plan.steps) * rates.step_seconds,
        }

    def token_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds per token of reading a source of `context` tokens, one by one."""
        rates = self.reader.measured
        if rates is None:
            return None
        tokens = min(context, self.reader.most_tokens)
        return {
            MAPS: self.reader.product_seconds(rates, tokens, scored=0) / tokens,
            SCORES: self.reader.score_operations(context) / rates.attention,
            NUMBERS: self.reader.moved_bytes() / rates.moved,
            STEPS: len(self.reader.plan.steps) * rates.step_seconds / tokens,
        }
