"""What a decoder takes as a native program: packed weights, pages of state, rows and seconds.

Read off the very plan that runs: its matrices, its pools of pages and its steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Protocol

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.description import Description
from fathom.planning.grouping import grouped, packs
from fathom.planning.packing import DECODED, packed_as, packed_bytes, packed_from
from fathom.planning.predict import Growth, Prediction
from fathom.planning.probe import NativeRates, Rates
from fathom.planning.programs import most_tokens, planned, rounds
from fathom.planning.speed import MAPS, NUMBERS, SCORES, STATE, WEIGHTS, expected_experts
from fathom.planning.storing import stored_encoding
from fathom.programs.latent_steps import AttendLatent, MultiplyHeads
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
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.model import Layered, Writing
from fathom.spec.parts import parameters

NUMBER = 4  # bytes of a number in rows and of small tensors: float32
STEPS = "going from step to step"

# Where nothing was measured: a process with this library, its kernels and tokenizers imported and
# no torch, as seen on Linux x86-64 with Python 3.11.
IDLE_BYTES = 47_000_000
# Of rooms above this one, which the measuring process does not import, and of pieces of files on
# their way into place.
LIBRARY_BYTES = 15_000_000
# Of a vocabulary's entry: its text, rank and merges, in the file's header and in the tokenizer;
# and what making the tokenizer needs for a moment more, before there is a state.
ENTRY_BYTES, MAKING_BYTES = 570, 300

Packing = Callable[[Matrix], str]  # the encoding that a matrix is packed in


@dataclass(frozen=True)
class Native:
    """A model as a native program: `plan` with matrices packed as `packing` says.

    `rates` are those of the kernels on this machine, None where nothing was measured.
    """

    spec: Layered | Writing
    plan: Plan
    packing: Packing
    rates: Rates | None

    @cached_property
    def matrices(self) -> Mapping[Matrix, tuple[str, int, int]]:
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
        held = replace(self.spec, head=None) if isinstance(self.spec, Encoder) else self.spec
        small = sum(one.elements for one in parameters(held) if one.name not in large)
        return NUMBER * small + sum(self.sizes.values())

    @property
    def whole(self) -> bool:
        """Whether texts are read in both directions and nothing is written."""
        return self.plan.delivered is not None

    @cached_property
    def most_tokens(self) -> int:
        """Tokens that go through together."""
        return most_tokens(self.plan, self.spec.context)

    def terms(self, context: int, batch: int) -> Mapping[str, int]:
        """Return the bytes of a process that runs `batch` sequences of `context` tokens."""
        rates = self._rates
        state = batch * self.plan.state_bytes(context, self.most_tokens)
        together = min(self.most_tokens, batch * context)
        results = together if self.whole else batch
        rows = together * self.plan.row_bytes() + NUMBER * results * self.plan.result_width
        return {
            "weights": self.weight_bytes,
            "state": state,
            "rows": rows,
            "vocabulary": vocabulary_bytes(self.plan.vocabulary, state + rows),
            "runtime": LIBRARY_BYTES + (IDLE_BYTES if rates is None else rates.idle_bytes),
        }

    def growth(self, context: int, batch: int) -> Growth:
        """Return what of `terms` is taken only as tokens come."""
        return Growth(
            capacity=context,
            token_bytes=batch * self.plan.page_bytes(context, self.most_tokens) // context,
            row_bytes=batch * self.plan.row_bytes(),
            most_rows=max(1, self.most_tokens // batch),
            least=MAKING_BYTES * self.plan.vocabulary,
        )

    def step_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds of one more token of each row; None where nothing was measured."""
        rates = self._rates
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
        rates = self._rates
        if rates is None:
            return None
        prompt = context if self.whole else max(1, context // 2)
        tokens = min(batch * prompt, self.most_tokens)
        seen = prompt if self.whole else max(1, prompt // 2)
        return {
            MAPS: self.product_seconds(rates, tokens, scored=0) / tokens,
            SCORES: (self.score_operations(seen, scored=False) + self._recurrent_operations())
            / rates.attention,
            NUMBERS: self.moved_bytes() / rates.moved,
            STEPS: len(self.plan.steps) * rates.step_seconds / tokens,
        }

    @property
    def _rates(self) -> NativeRates | None:
        return None if self.rates is None else self.rates.native

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


def packed_sizes(matrices: Mapping[Matrix, tuple[str, int, int]]) -> Counter[str]:
    """Return packed bytes by encoding, of matrices by encoding, rows and columns."""
    found: Counter[str] = Counter()
    for encoding, rows, columns in matrices.values():
        found[encoding] += packed_bytes(encoding, rows, columns)
    return found


def sizes_text(sizes: Counter[str]) -> str:
    """Return packed bytes by encoding in words, the most first."""
    return " + ".join(f"{size:,} bytes of {name}" for name, size in sizes.most_common())


def vocabulary_bytes(entries: int, free: int) -> int:
    """Return what a tokenizer holds, and what making it takes beyond `free` bytes not used yet."""
    return ENTRY_BYTES * entries + max(0, MAKING_BYTES * entries - free)


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


def native(
    description: Description, dtype: str, rates: Rates | None, quant: str | None = None
) -> Native:
    """Return a model as the program that opening it makes.

    Its weights are packed as they are stored, or as `quant` if that is one of `GROUPS`. Under
    another name they are counted as if stored so; of a configuration alone, in `dtype`.

    Raises:
        NoProgramError: when `programs.why_modules` has a reason.
        TensorMismatchError: when file and model do not correspond.
    """
    spec = description.spec
    if not isinstance(spec, Decoder | Encoder):
        raise TypeError(f"{type(spec).__name__} has no program; ask `why_modules` first")
    plan = planned(spec, dtype)
    if description.contents is not None and (quant is None or packs(description, quant)):
        packing = as_in_files(description, description.contents, spec, quant)
        return Native(spec, plan, packing, rates)
    return Native(spec, plan, as_named(spec, quant or dtype), rates)


def as_in_files(
    description: Description, contents: Contents, spec: Layered | Writing, quant: str | None
) -> Packing:
    """Return how matrices of a checkpoint's files are packed."""
    assigned = {name: one for one in description.assignments() for name in one.ours}
    rounded, integers = rounds(spec), grouped(parameters(spec), quant)
    return lambda one: packed_from(
        contents,
        assigned[one.name],
        one.name,
        exact=one.exact,
        decoded=one.turned,
        rounded=rounded,
        grouped=integers.get(one.name),
    )


def as_named(spec: Layered | Writing, stored: str, finer: Sequence[bool] | None = None) -> Packing:
    """Return how matrices stored under a name are packed; `finer` as for `stored_encoding`.

    Raises:
        RequestError: for an unknown name.
    """
    chosen = stored_encoding(spec, stored, finer)
    held = {one.name: one for one in parameters(spec)}
    rounded = rounds(spec)

    def packing(one: Matrix) -> str:
        encoding = chosen(held[one.name])
        kept = DECODED if one.turned else encoding
        return packed_as(kept, exact=one.exact, wide=encoding == "F32", rounded=rounded)

    return packing


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


class Programs(Protocol):
    """What a prediction asks of a program, or of a pair of them."""

    @property
    def computing(self) -> str: ...

    @property
    def whole(self) -> bool: ...

    def terms(self, context: int, batch: int) -> Mapping[str, int]: ...

    def growth(self, context: int, batch: int) -> Growth | None: ...

    def step_seconds(self, context: int, batch: int) -> Mapping[str, float] | None: ...

    def token_seconds(self, context: int, batch: int) -> Mapping[str, float] | None: ...


def predict_native(program: Programs, context: int, batch: int = 1) -> Prediction:
    """Predict memory, and where this machine was measured speed, of a native program.

    What is asked means what it means to `predict`.
    """
    found = Prediction(
        program.computing,
        context,
        batch,
        program.terms(context, batch),
        workspace_at="one step after another, in rows that all steps share",
        growth=program.growth(context, batch),
    )
    writing = program.step_seconds(context // 2, batch)
    reading = program.token_seconds(context, batch)
    if writing is None or reading is None:
        return found
    found = replace(found, prefill_tokens_per_second=1 / sum(reading.values()))
    if program.whole:  # it reads and does not write
        return found
    return replace(
        found,
        decode_tokens_per_second=batch / sum(writing.values()),
        limit=max(writing, key=lambda name: writing[name]),
    )


def native_reasons(program: Native, found: Prediction) -> Mapping[str, str]:
    """Return a line per term and rate: what is multiplied with what."""
    packed = sizes_text(program.sizes)
    together, plan = min(program.most_tokens, found.batch * found.context), program.plan
    pages = " + ".join(
        f"{pool.pages(found.context, program.most_tokens):,} × {pool.page_bytes:,} bytes"
        for pool in plan.pools
    )
    lines = {
        "weights": f"{packed}, in panels of 16 rows; small tensors in float32",
        "state": f"{found.batch} sequence(s) × pages of {PAGE_TOKENS} tokens: {pages}",
        "rows": f"{together:,} tokens together × {plan.row_bytes():,} bytes; a row of scores each",
        "vocabulary": f"{plan.vocabulary:,} entries × {ENTRY_BYTES} bytes of texts and merges, and"
        f" {MAKING_BYTES} more while the tokenizer is made",
        "runtime": "the process with its kernels and no torch, no model yet; measured once",
    }
    seconds = program.step_seconds(found.context // 2, found.batch)
    if seconds is not None and not program.whole:
        parts = " + ".join(f"{value * 1e3:.3g} ms {name}" for name, value in seconds.items())
        whole = sum(seconds.values()) * 1e3
        lines["writing"] = f"{found.batch} token(s) per step of {parts} = {whole:.3g} ms"
    return lines
