"""A model that reads or hears and writes, as native programs over one source.

text ─ or what was heard ─► reader ─► pages of the source ─┐
tokens so far ─────────────► writer ◄──────────────────────┴─► scores
                               └► pages of the rows
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fathom.errors import ContextLengthError
from fathom.generation.pages import turning
from fathom.generation.row_pages import RowPages
from fathom.ops.program import Batch, Program
from fathom.ops.program_pair import ProgramPair
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.lowering_decoder import rotations
from fathom.programs.plan import Plan
from fathom.spec.encoder_decoder import EncoderDecoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fathom.generation.pair_forward import Rows
    from fathom.spec.model import Writing

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int32]


class NativePair:
    """A pair of programs. No torch is loaded for it, unless a sound was heard."""

    device = "cpu"

    def __init__(self, spec: Writing, programs: ProgramPair) -> None:
        self.spec = spec
        self.programs = programs

    def begin(self, *, rows: int, capacity: int, source: int) -> NativePairCourse:
        """Return room for rows of `capacity` tokens about a source of up to `source` tokens."""
        return NativePairCourse(self.spec, self.programs, rows, capacity, source)


class NativePairCourse:
    """Rows and their pages, and those of the source.

    What is to be read or heard is worked out when the first token is written about it.
    """

    def __init__(
        self, spec: Writing, programs: ProgramPair, rows: int, capacity: int, source: int
    ) -> None:
        self._spec = spec
        self._programs = programs
        self._rows = rows
        self._own = RowPages(programs.writer.plan, rows=rows, capacity=capacity)
        self._most = source
        self._turns = turning(rotations(spec.decoder), capacity)
        self._texts: list[Integers] = []  # still to be read
        self._heard: Floats | None = None  # still to be accepted, (sources, length, width)
        self._read: tuple[int, ...] = ()  # tokens of the source that each row looks at
        self._source: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)  # pages
        self._sources: Integers = np.zeros((1, 0), dtype=np.int32)  # (sources, pages)
        self._tables: Integers = np.zeros(
            (rows, 0), dtype=np.int32
        )  # (rows, pages): whose is which

    @property
    def used(self) -> int:
        """Tokens that were written in each row."""
        return self._own.used

    @property
    def read_tokens(self) -> int:
        """Tokens of the longest source that is looked at."""
        return max(self._read, default=0)

    def read(self, texts: Sequence[Sequence[int]]) -> None:
        """Take what is to be read: one text for all rows, or one of any length for each.

        Raises:
            ContextLengthError: for a text that is longer than there is room, or empty.
        """
        self.reset()
        longest, shortest = max(map(len, texts)), min(map(len, texts))
        if longest > self._most or not shortest:
            raise ContextLengthError(
                f"a text of {shortest if not shortest else longest:,} tokens cannot be read: there"
                f" is room for 1 to {self._most:,}"
            )
        self._texts = [np.asarray(text, dtype=np.int32) for text in texts]

    def hear(self, hidden: Tensor) -> None:
        """Take what was heard, (1, length, width) for all rows, or (rows, length, width)."""
        self.reset()
        self._heard = hidden.float().contiguous().numpy()

    def scores(self, tokens: Sequence[Sequence[int]], places: Sequence[int] = (-1,)) -> Floats:
        """Add tokens to each row; return scores, (rows · places, vocabulary).

        Raises:
            ContextLengthError: when there are more than it can hold.
            LookupError: when nothing was read or heard.
        """
        self._look()
        if not self._read:
            raise LookupError("nothing was read yet that could be looked at")
        return self._run(self._programs.writer, tokens, places)

    def looks(self, program: Program, tokens: Sequence[int]) -> Floats:
        """Write a row's tokens afresh with a program that says where heads look.

        Its results are (tokens, `Plan.result_width`) (`programs.lowering_pair.lower_look`).
        """
        self._look()
        self.rewind()
        return self._run(program, [tokens], range(len(tokens)))

    def reorder(self, rows: Rows) -> None:
        """Let each row go on from what another had written; all look at the same source."""
        self._own.reorder(rows)

    def rewind(self) -> None:
        """Forget what was written, and keep the source."""
        self._own.reset()

    def reset(self) -> None:
        """Forget both, keeping the memory."""
        self._own.reset()
        self._texts, self._heard, self._read = [], None, ()

    def _run(
        self, program: Program, tokens: Sequence[Sequence[int]], places: Sequence[int]
    ) -> Floats:
        """Send tokens of all rows through, as many at a time as go through together."""
        length, most = len(tokens[0]), program.most_tokens
        start = self._own.advance(length)
        wanted = [place % length for place in places]
        found = np.empty((self._rows, len(wanted), program.plan.result_width), dtype=np.float32)
        together = max(1, most // length)
        for first in range(0, self._rows, together):
            rows = slice(first, min(first + together, self._rows))
            ids = np.asarray(tokens[rows], dtype=np.int32)
            for begin in range(0, length, most):
                piece = ids[:, begin : begin + most]
                inside = [i for i, at in enumerate(wanted) if 0 <= at - begin < piece.shape[1]]
                asked = [wanted[i] - begin for i in inside]
                outputs = sorted(set(asked))  # a place that is asked for twice comes out once
                scores = self._piece(program, piece, rows, start + begin, outputs)
                scores = scores.reshape(len(piece), len(outputs), found.shape[-1])
                found[rows, inside] = scores[:, [outputs.index(at) for at in asked]]
        return found.reshape(-1, found.shape[-1])

    def _piece(
        self, program: Program, ids: Integers, rows: slice, start: int, outputs: Sequence[int]
    ) -> Floats:
        """Send a piece of some rows through; return what comes out at places of each row."""
        count, length = ids.shape
        begins = length * np.arange(count, dtype=np.int32)[:, None]
        pools = program.plan.pools
        own = iter(self._own.pages)
        batch = Batch(
            ids=ids.reshape(-1),
            counts=(length,) * count,
            starts=(start,) * count,
            tables=[(self._tables if pool.source else self._own.table)[rows] for pool in pools],
            frequencies=np.repeat(self._turns[None], count, axis=0),
            outputs=(begins + np.asarray(outputs, dtype=np.int32)).reshape(-1),
            read=self._read[rows],
        )
        pages = [self._source if pool.source else next(own) for pool in pools]
        return program.run(batch, pages)

    def _look(self) -> None:
        """Work out the keys and values of what was read or heard, if that was not done yet."""
        if self._texts:
            self._place([len(text) for text in self._texts])
            for index, text in enumerate(self._texts):
                self._accept(index, text)
            self._texts = []
        elif self._heard is not None:
            most = self._programs.reader.most_tokens
            self._place([len(heard) for heard in self._heard])
            for index, heard in enumerate(self._heard):
                for begin in range(0, len(heard), most):
                    given = heard[begin : begin + most]
                    self._accept(index, np.zeros(len(given), dtype=np.int32), given, begin)
            self._heard = None

    def _place(self, lengths: Sequence[int]) -> None:
        """Give each source its pages: one of all rows, or each row its own."""
        each = [-(-length // PAGE_TOKENS) for length in lengths]
        ends = np.cumsum(each)
        self._sources = np.zeros((len(lengths), max(each)), dtype=np.int32)
        for table, pages, end in zip(self._sources, each, ends, strict=True):
            table[:pages] = np.arange(end - pages, end)
        shared = self._rows // len(lengths)
        self._tables = np.repeat(self._sources, shared, axis=0)
        self._read = tuple(length for length in lengths for _ in range(shared))
        needed = int(ends[-1]) * _source_page(self._programs.writer.plan)
        if len(self._source) != needed:
            self._source = np.empty(needed, dtype=np.uint8)

    def _accept(
        self, index: int, ids: Integers, given: Floats | None = None, start: int = 0
    ) -> None:
        """Send a source, or a piece of what was heard, through the reader."""
        plan = self._programs.reader.plan
        once = np.arange(-(-len(ids) // PAGE_TOKENS), dtype=np.int32)[None]  # of a text read whole
        rotary = rotations(self._spec.encoder) if isinstance(self._spec, EncoderDecoder) else []
        batch = Batch(
            ids=ids,
            counts=(len(ids),),
            starts=(start,),
            tables=[
                self._sources[index : index + 1] if pool.source else once for pool in plan.pools
            ],
            frequencies=turning(rotary, len(ids))[None],
            outputs=np.zeros(0, dtype=np.int32),
            given=given,
        )
        pages = [
            self._source if pool.source else np.empty(once.size * pool.page_bytes, np.uint8)
            for pool in plan.pools
        ]
        self._programs.reader.run(batch, pages)


def _source_page(plan: Plan) -> int:
    return sum(pool.page_bytes for pool in plan.pools if pool.source)
