"""What a model that looks at a source takes as a pair of native programs: bytes and seconds.

Read off the two plans that run, as `planning.native` has it for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fathom.checkpoint.description import Description
from fathom.planning.grouping import packs
from fathom.planning.native import (
    ENTRY_BYTES,
    IDLE_BYTES,
    LIBRARY_BYTES,
    MAKING_BYTES,
    NUMBER,
    STEPS,
    Native,
    as_in_files,
    as_named,
    packed_sizes,
    sizes_text,
    vocabulary_bytes,
)
from fathom.planning.predict import Growth, Prediction
from fathom.planning.probe import Rates
from fathom.planning.programs import planned_pair
from fathom.planning.speed import MAPS, NUMBERS, SCORES, STATE, WEIGHTS
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.steps import Matrix
from fathom.spec.model import Writing
from fathom.spec.parts import parameters


@dataclass(frozen=True)
class NativePair:
    """A model as two programs: one leaves keys and values of a source, the other writes."""

    reader: Native
    writer: Native

    whole = False

    @cached_property
    def matrices(self) -> Mapping[Matrix, tuple[str, int, int]]:
        """Encoding, rows and columns of every matrix, those that both programs read once."""
        return {**self.reader.matrices, **self.writer.matrices}

    @cached_property
    def sizes(self) -> Counter[str]:
        """Packed bytes by encoding."""
        return packed_sizes(self.matrices)

    @property
    def encoding(self) -> str:
        """The encoding of most packed bytes."""
        return self.sizes.most_common(1)[0][0]

    @property
    def computing(self) -> str:
        """What stands in place of a type: kernels of one encoding are as fast as one another."""
        return f"native {self.encoding}"

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all matrices packed, and of small tensors in float32."""
        large = {matrix.name for matrix in self.matrices}
        named = (one for one in parameters(self.writer.spec) if one.name not in large)
        return NUMBER * sum(one.elements for one in named) + sum(self.sizes.values())

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

    def terms(self, context: int, batch: int) -> Mapping[str, int]:
        """Return the bytes of a process that writes `batch` texts, each about one as long."""
        rates = None if self.writer.rates is None else self.writer.rates.native
        state = batch * self.state_bytes(context, context)
        rows = self.row_bytes(min(context, self.reader.most_tokens), batch)
        return {
            "weights": self.weight_bytes,
            "state": state,
            "rows": rows,
            "vocabulary": vocabulary_bytes(self.writer.plan.vocabulary, state + rows),
            "runtime": LIBRARY_BYTES + (IDLE_BYTES if rates is None else rates.idle_bytes),
        }

    def growth(self, context: int, batch: int) -> Growth | None:
        """Return None: how much of the room is taken depends on two lengths."""
        return None

    def step_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds of one more token of each row, about a source of as many tokens."""
        rates = None if self.writer.rates is None else self.writer.rates.native
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
        rates = None if self.reader.rates is None else self.reader.rates.native
        if rates is None:
            return None
        tokens = min(context, self.reader.most_tokens)
        return {
            MAPS: self.reader.product_seconds(rates, tokens, scored=0) / tokens,
            SCORES: self.reader.score_operations(context) / rates.attention,
            NUMBERS: self.reader.moved_bytes() / rates.moved,
            STEPS: len(self.reader.plan.steps) * rates.step_seconds / tokens,
        }

    def reasons(self, found: Prediction) -> Mapping[str, str]:
        """Return a line per term and rate: what is multiplied with what."""
        plan, most = self.writer.plan, self.writer.most_tokens
        own = plan.state_bytes(found.context, most)
        together = min(found.context, self.reader.most_tokens)
        lines = {
            "weights": f"{sizes_text(self.sizes)}, in panels of 16 rows; small tensors in float32",
            "state": f"{found.batch} text(s) × pages of {PAGE_TOKENS} tokens: {own:,} bytes of what"
            f" is written + {plan.source_bytes(found.context):,} of what was read",
            "rows": f"{together:,} tokens read together × {self.reader.plan.row_bytes():,} bytes,"
            " and keys of one layer at a time; a row of scores each",
            "vocabulary": f"{plan.vocabulary:,} entries × {ENTRY_BYTES} bytes of texts and merges,"
            f" and {MAKING_BYTES} more while the tokenizer is made",
            "runtime": "the process with its kernels and no torch, no model yet; measured once",
        }
        seconds = self.step_seconds(found.context // 2, found.batch)
        if seconds is not None:
            parts = " + ".join(f"{value * 1e3:.3g} ms {name}" for name, value in seconds.items())
            whole = sum(seconds.values()) * 1e3
            lines["writing"] = f"{found.batch} token(s) per step of {parts} = {whole:.3g} ms"
        return lines


def native_pair(
    description: Description,
    spec: Writing,
    dtype: str,
    rates: Rates | None,
    quant: str | None = None,
) -> NativePair:
    """Return a model as the programs that opening it makes, as `planning.native.native`.

    Raises:
        NoProgramError: when `programs.why_modules` has a reason.
        TensorMismatchError: when file and model do not correspond.
    """
    contents = description.contents
    if contents is not None and (quant is None or packs(description, quant)):
        packed = as_in_files(description, contents, spec, quant)
    else:
        packed = as_named(spec, quant or dtype)
    reader, writer = (Native(spec, plan, packed, rates) for plan in planned_pair(spec, dtype))
    return NativePair(reader, writer)
