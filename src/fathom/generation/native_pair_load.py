"""Work for a pair of native programs: the same that `loads` has for modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fathom.generation.native_load import SEED, WRITTEN
from fathom.generation.native_pair import NativePair

if TYPE_CHECKING:
    from fathom.ops.program_pair import ProgramPair
    from fathom.spec.encoder_decoder import EncoderDecoder


class NativePairLoad:
    """Reads a text of the whole context for each row, and begins one about it."""

    def __init__(
        self, spec: EncoderDecoder, programs: ProgramPair, context: int, batch: int
    ) -> None:
        forward = NativePair(spec, programs)
        self._course = forward.begin(rows=batch, capacity=context, source=context)
        random = np.random.default_rng(SEED)
        known = spec.embedding.vocabulary
        self._tokens = random.integers(0, known, (batch, context), dtype=np.int32).tolist()
        self._next = self._begin = random.integers(0, spec.vocabulary, (batch, 1)).tolist()
        self.prompt, self.written = context, min(WRITTEN, context // 4)

    def fill(self) -> None:
        """Use the whole context once, so that memory is at its most."""
        self.read()
        for _ in range(self.prompt - 1):
            self.write()

    def read(self) -> None:
        """Begin afresh and read the sources, up to the choice of the next token."""
        self._course.read(self._tokens)
        self._next = self._begin
        self.write()

    def write(self) -> None:
        """Write one more token of each row."""
        self._next = self._course.scores(self._next).argmax(axis=1)[:, None].tolist()
