"""What one native program takes: its matrices, pages of state, rows and seconds.

Read off the very plan that runs: its matrices, its pools of pages and its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile

from fathom.planning.machine import huge_page_bytes
from fathom.planning.native import MAKING_BYTES, NUMBER, STEPS, Packed, Programs
from fathom.planning.packing import packed_bytes
from fathom.planning.predict import Growth, Prediction
from fathom.planning.probe import NativeRates, Rates
from fathom.planning.programs import most_tokens
from fathom.planning.speed import MAPS, NUMBERS, SCORES, STATE, WEIGHTS, expected_experts
from fathom.programs.latent_steps import AttendLatent, MultiplyHeads, PlaceLatent
from fathom.programs.layout import PAGE_TOKENS
from fathom.programs.plan import Plan, Step
from fathom.programs.recurrent_steps import Recurrent
from fathom.programs.steps import (
    Activate,
    Add,
    Attend,
    Embed,
    Matrix,
    MixExperts,
    Multiply,
    Narrow,
    Normalise,
    Place,
)
from fathom.spec.encoder import Encoder
from fathom.spec.model import Layered, Writing
from fathom.spec.parts import Part, parameters

Packing = Callable[[Matrix], str]  # the encoding that a matrix is packed in
PLAIN = frozenset({"F32", "F16", "BF16"})  # those whose inputs are not rounded to eight bits
HUGE_FROM = 4 << 20  # bytes of an array from which NumPy asks for huge pages


@dataclass(frozen=True)
class Native(Programs):
    """A model as a native program: `plan` with matrices packed as `packing` says.

    `rates` are those of the kernels on this machine, None where nothing was measured.
    """

    spec: Layered | Writing
    plan: Plan
    packing: Packing
    rates: Rates | None

    @cached_property
    def matrices(self) -> Mapping[Matrix, Packed]:
        """Encoding, rows and columns of every matrix, those that several steps share once."""
        shapes = {one.name: one.shape for one in parameters(self.spec)}
        named: dict[tuple[str, bool, bool], str] = {}

        def packed(matrix: Matrix) -> str:
            key = matrix.name, matrix.exact, matrix.turned
            if key not in named:  # experts of a stack are packed alike
                named[key] = self.packing(matrix)
            return named[key]

        found = dict.fromkeys(one for step in self.plan.steps for one in _matrices(step))

        def shape(matrix: Matrix) -> tuple[int, int]:
            rows, columns = shapes[matrix.name][-2:]
            return (columns, rows) if matrix.turned else (rows, columns)

        return {one: (packed(one), *shape(one)) for one in found}

    @property
    def measured(self) -> NativeRates | None:
        """Rates of the kernels."""
        return None if self.rates is None else self.rates.native

    @property
    def held(self) -> Part:
        """All but what an encoder has for tasks that are not its own."""
        return replace(self.spec, head=None) if isinstance(self.spec, Encoder) else self.spec

    @property
    def vocabulary(self) -> int:
        """Entries of the vocabulary."""
        return self.plan.vocabulary

    @property
    def whole(self) -> bool:
        """Whether texts are read in both directions and nothing is written."""
        return self.plan.delivered is not None

    @cached_property
    def most_tokens(self) -> int:
        """Tokens that go through together."""
        return most_tokens(self.plan, self.spec.context)

    def state(self, context: int, batch: int) -> int:
        """Return the bytes of pages and slots."""
        return batch * self.plan.state_bytes(context, self.most_tokens)

    def rows(self, context: int, batch: int) -> int:
        """Return the bytes of rows of tokens that go through together, and of results."""
        together = min(self.most_tokens, batch * context)
        results = together if self.whole else batch
        return together * self.plan.row_bytes() + NUMBER * results * self.plan.result_width

    @cached_property
    def paired(self) -> bool:
        """Whether scores of prompts are products of bfloat16: `Attend` has when."""
        queries = (step.query for step in self.plan.steps if isinstance(step, Attend))
        return any(one is not None and self.matrices[one][0] not in PLAIN for one in queries)

    def told_state(self, found: Prediction) -> str:
        """Return the pages of each pool, and how exactly prompts meet what lies there."""
        pages = " + ".join(
            f"{pool.pages(found.context, self.most_tokens):,} × {pool.page_bytes:,} bytes"
            for pool in self.plan.pools
        )
        told = f"{found.batch} sequence(s) × pages of {PAGE_TOKENS} tokens: {pages}"
        if not self.paired:
            return told
        return f"{told}; prompts meet keys in bfloat16, as their products have inputs of eight bits"

    def told_rows(self, found: Prediction) -> str:
        """Return how many tokens go through together."""
        together, each = min(self.most_tokens, found.batch * found.context), self.plan.row_bytes()
        return f"{together:,} tokens together × {each:,} bytes; a row of scores each"

    def growth(self, context: int, batch: int) -> Growth:
        """Return what of `terms` is taken only as tokens come."""
        return Growth(
            capacity=context,
            token_bytes=batch * self.plan.page_bytes(context, self.most_tokens) // context,
            row_bytes=batch * self.plan.row_bytes(),
            most_rows=max(1, self.most_tokens // batch),
            least=MAKING_BYTES * self.plan.vocabulary,
            at_once=self._begun_bytes if self.state(context, batch) >= HUGE_FROM else 0,
        )

    @cached_property
    def _begun_bytes(self) -> int:
        """The bytes of a huge page for each layer that has keys and values."""
        placing = sum(isinstance(step, Place | PlaceLatent) for step in self.plan.steps)
        return huge_page_bytes() * placing

    def step_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds of one more token of each row; None where nothing was measured."""
        rates = self.measured
        if rates is None:
            return None
        return {
            WEIGHTS: self.product_seconds(rates, batch, scored=batch),
            STATE: batch * self.score_operations(context) / rates.attention_step
            + batch * self._recurrent_operations() / rates.attention,
            STEPS: len(self.plan.steps) * rates.step_seconds,
        }

    def token_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds per token of reading prompts that fill half of the context.

        Texts that are read in both directions fill all of it.
        """
        rates = self.measured
        if rates is None:
            return None
        prompt = context if self.whole else max(1, context // 2)
        tokens = min(batch * prompt, self.most_tokens)
        seen = prompt if self.whole else max(1, prompt // 2)
        return {
            MAPS: self.product_seconds(rates, tokens, scored=0) / tokens,
            SCORES: self.score_operations(seen, scored=False)
            / (rates.paired_attention if self.paired else rates.attention)
            + self._recurrent_operations() / rates.attention,
            NUMBERS: self.moved_bytes() / rates.moved,
            STEPS: len(self.plan.steps) * rates.step_seconds / tokens,
        }

    def product_seconds(self, rates: NativeRates, rows: int, scored: int) -> float:
        """Return the time of all products of so many rows; `scored` of them have scores.

        Behind the last layer's keys and values there are no others.
        """
        seconds = 0.0
        for step in self.plan.steps:
            if not rows:
                break
            match step:
                case Narrow():
                    rows = scored
                case Multiply(target=None) if not scored:
                    continue
                case Multiply():
                    met = scored if step.target is None else rows
                    for factor in step.factors:
                        seconds += self._matrix_seconds(rates, factor.matrix, met)
                case MultiplyHeads():
                    for matrix in step.matrices:
                        seconds += self._matrix_seconds(rates, matrix, rows)
                case MixExperts():
                    router = step.routing
                    chosen = expected_experts(router.experts, router.active, rows)
                    met_each = max(1.0, rows * router.active / chosen)
                    for factor in step.experts[0]:
                        each = self._matrix_seconds(rates, factor.matrix, met_each)
                        seconds += chosen * each
        return seconds

    def _matrix_seconds(self, rates: NativeRates, matrix: Matrix, rows: float) -> float:
        encoding, outputs, inputs = self.matrices[matrix]
        size = packed_bytes(encoding, outputs, inputs)
        return rates.product_seconds(encoding, inputs, outputs, size, rows)

    def score_operations(self, seen: int, read: int = 0, *, scored: bool = True) -> int:
        """Return the operations of one token's queries with `seen` keys before them.

        A source that is looked at has `read` keys. Queries whose rows are narrowed are made of
        tokens that are `scored`.
        """
        operations = 0
        for step in self.plan.steps:
            match step:
                case Attend(narrowed=True) if not scored:
                    continue
                case Attend(heads=heads, looks=True):
                    operations += 4 * heads.heads * heads.width * read
                case Attend(heads=heads):
                    reached = min(seen, step.reach_width or seen)
                    operations += 4 * heads.heads * heads.width * reached
                case AttendLatent():
                    operations += step.operations(seen)
        return operations

    def _recurrent_operations(self) -> int:
        """Return the operations of one token in recurrences, whose arithmetic is of numbers too."""
        return sum(step.operations for step in self.plan.steps if isinstance(step, Recurrent))

    def moved_bytes(self) -> int:
        """Return the bytes of rows that steps beside products read and write for a token.

        It is one without scores.
        """
        width = {name: rows.width * rows.repeats for name, rows in self.plan.rows.items()}
        steps = takewhile(lambda step: not isinstance(step, Narrow), self.plan.steps)
        return sum(moved(step, width) for step in steps)


def moved(step: Step, width: Mapping[str, int]) -> int:
    """Return the bytes of rows that a step reads and writes for a token, beside products.

    `width` counts the numbers of a token in each row.
    """
    match step:
        case Embed():
            return NUMBER * width[step.target]
        case Normalise() | Add():
            return 2 * NUMBER * width[step.source]
        case Activate():
            return (3 if step.other else 2) * NUMBER * step.count
        case Place():
            return 2 * NUMBER * width[step.heads.source]
        case MixExperts():
            return 2 * NUMBER * sum(width[room] for room in step.rooms)
        case _:
            return 0


def _matrices(step: Step) -> Iterator[Matrix]:
    match step:
        case Embed():
            yield step.table
        case Multiply():
            yield from (factor.matrix for factor in step.factors)
        case MultiplyHeads():
            yield from step.matrices
        case MixExperts():
            yield from (factor.matrix for maps in step.experts for factor in maps)
