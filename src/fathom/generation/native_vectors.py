"""Vectors of texts by a native program: texts of any length side by side, nothing padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fathom.generation.pages import turning
from fathom.ops.program import Batch, Program
from fathom.ops.text_pooling import TEXT_POOLINGS
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.lowering_decoder import rotations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fathom.generation.reading import Reading
    from fathom.spec.encoder import Encoder
    from fathom.spec.vector import TextVector

    Floats: TypeAlias = NDArray[np.float32]
    Projected: TypeAlias = Callable[[Floats], Floats]


PASS = 512  # tokens that go through together; a longer text goes alone


class NativeVectors:
    """Makes vectors of texts. No torch is loaded for it, unless vectors are projected."""

    def __init__(
        self,
        spec: Encoder,
        program: Program,
        vector: TextVector,
        project: Projected | None = None,
    ) -> None:
        """Take an encoder's program; `project` maps pooled vectors where the spec says so."""
        self.program = program
        self.vector = vector
        self.project = project
        self.rotations = rotations(spec)

    def vectors(
        self, readings: Sequence[Reading], skipped: int, normalise: bool | None, batch: int
    ) -> Floats:
        """Return (texts, width) float32; the first `skipped` tokens are not pooled."""
        found: list[Floats | None] = [None] * len(readings)
        for rows in self._passes(readings, batch):
            lengths = [len(readings[row].ids) for row in rows]
            hidden = self.hidden([readings[row] for row in rows])
            begins = np.cumsum([0, *lengths])
            for row, begin, length in zip(rows, begins, lengths, strict=False):
                found[row] = self._pooled(hidden[begin + skipped : begin + length], skipped)
        pooled = np.stack([one for one in found if one is not None])
        return self._finished(pooled, normalise)

    def _passes(self, readings: Sequence[Reading], batch: int) -> Iterator[list[int]]:
        """Yield texts that go through together: at most `batch`, in tokens that fit, long first."""
        order = sorted(range(len(readings)), key=lambda row: -len(readings[row].ids))
        rows: list[int] = []
        tokens = 0
        for row in order:
            length = len(readings[row].ids)
            if rows and (len(rows) == batch or tokens + length > PASS):
                yield rows
                rows, tokens = [], 0
            rows.append(row)
            tokens += length
        yield rows

    def hidden(self, readings: Sequence[Reading]) -> Floats:
        """Return hidden states of all tokens of texts that fit together, (tokens, width)."""
        lengths = [len(one.ids) for one in readings]
        plan, count = self.program.plan, len(lengths)
        each = [-(-length // PAGE_TOKENS) for length in lengths]
        ends = np.cumsum(each)
        tables = np.zeros((count, max(each)), dtype=np.int32)
        for text, (pages, end) in enumerate(zip(each, ends, strict=True)):
            tables[text, :pages] = np.arange(end - pages, end)
        ids = np.concatenate([one.ids for one in readings]).astype(np.int32)
        turns = turning(self.rotations, max(lengths))
        made = Batch(
            ids=ids,
            counts=lengths,
            starts=[0] * count,
            tables=[tables for _ in plan.pools],
            frequencies=np.repeat(turns[None], count, axis=0),
            outputs=np.arange(len(ids), dtype=np.int32),
        )
        room = [np.empty(int(ends[-1]) * pool.page_bytes, np.uint8) for pool in plan.pools]
        return self.program.run(made, room)

    def _pooled(self, hidden: Floats, start: int) -> Floats:
        return np.concatenate([TEXT_POOLINGS[way](hidden, start) for way in self.vector.pooling])

    def _finished(self, pooled: Floats, normalise: bool | None) -> Floats:
        """Project, and bring to length one where that is wanted."""
        if self.project is not None:
            pooled = self.project(pooled)
        if not (self.vector.normalise if normalise is None else normalise):
            return pooled
        lengths = np.linalg.norm(pooled, axis=-1, keepdims=True)
        return pooled / np.maximum(lengths, 1e-12)
