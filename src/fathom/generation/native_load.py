"""Work for a decoder that runs as a native program: the same that `loads` has for modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fathom.generation.pages import PagedState
from fathom.ops.program import Batch, Program
from fathom.programs.lowering_decoder import rotations

if TYPE_CHECKING:
    from fathom.spec.decoder import Decoder

WRITTEN = 32  # tokens that a round writes, or a quarter of a short context
SEED = 11


class NativeLoad:
    """Reads half of the context and writes on from there, the rows of a batch together."""

    def __init__(self, spec: Decoder, program: Program, context: int, batch: int) -> None:
        most = program.most_tokens
        self._program, self._batch = program, batch
        self._one = PagedState(program.plan, rotations(spec), capacity=context, most_tokens=most)
        rows = np.arange(batch, dtype=np.int32)[:, None]
        kept = [int(table.max()) + 1 for table in self._one.tables]
        self._tables = [
            table + count * rows for table, count in zip(self._one.tables, kept, strict=True)
        ]
        self._frequencies = np.repeat(self._one.frequencies, batch, axis=0)
        # Written to: a page that was only reserved is not memory yet.
        self._pages = [np.full(batch * pages.nbytes, 0, np.uint8) for pages in self._one.pages]
        self._memory = np.full(batch * program.plan.slot_bytes, 0, np.uint8)
        random = np.random.default_rng(SEED)
        self._tokens = random.integers(0, spec.vocabulary, (batch, context), dtype=np.int32)
        self._next = self._tokens[:, 0]
        self.written = min(WRITTEN, context // 4)
        self.prompt = (context - self.written) // 2

    def fill(self) -> None:
        """Use the whole context once, so that memory is at its most."""
        self._read(self._tokens.shape[1] - 1)
        self.write()

    def read(self) -> None:
        """Begin afresh and read the prompt, up to the choice of the next token."""
        self._read(self.prompt)

    def write(self) -> None:
        """Write one more token of each row."""
        start = self._one.advance(1)
        most = self._program.most_tokens
        for first in range(0, self._batch, most):
            rows = range(first, min(first + most, self._batch))
            ids = self._next[rows.start : rows.stop]
            self._next[rows.start : rows.stop] = self._run(ids, rows, start, list(range(len(rows))))

    def _read(self, length: int) -> None:
        self._one.reset()
        self._next = np.empty(self._batch, dtype=np.int32)
        most = self._program.most_tokens
        for start in range(0, length, most):
            count = min(most, length - start)
            self._one.advance(count)
            outputs = [count - 1] if start + count == length else []
            for row in range(self._batch):
                ids = self._tokens[row, start : start + count]
                chosen = self._run(ids, range(row, row + 1), start, outputs)
                self._next[row : row + len(chosen)] = chosen

    def _run(self, ids: np.ndarray, rows: range, start: int, outputs: Sequence[int]) -> np.ndarray:
        """Take tokens of some rows in; return the likeliest next ones, (outputs)."""
        own = slice(rows.start, rows.stop)
        batch = Batch(
            ids=np.ascontiguousarray(ids),
            counts=(len(ids) // len(rows),) * len(rows),
            starts=(start,) * len(rows),
            tables=[np.ascontiguousarray(table[own]) for table in self._tables],
            frequencies=self._frequencies[own],
            outputs=np.asarray(outputs, dtype=np.int32),
            slots=tuple(rows),
        )
        return self._program.run(batch, self._pages, self._memory).argmax(axis=1).astype(np.int32)
