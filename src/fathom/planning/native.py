"""What a model takes as native programs: packed weights, state, rows, a tokenizer and a process.

What programs are alike in is here; what each takes of its own, they say (`planning.native_program`
of one, `planning.native_pair` of a pair).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

from fathom.planning.packing import packed_bytes
from fathom.planning.predict import Growth, Prediction
from fathom.planning.probe import NativeRates
from fathom.programs.steps import Matrix
from fathom.spec.parts import Part, parameters

NUMBER = 4  # bytes of a number in rows and of small tensors: float32
STEPS = "going from step to step"

# Where nothing was measured: a process with this library, its kernels and tokenizers imported and
# no torch, as seen on Linux x86-64 with Python 3.11.
IDLE_BYTES = 47_000_000
# Of rooms above this one, which the measuring process does not import, and of pieces of files on
# their way into place.
LIBRARY_BYTES = 15_000_000
# Of a vocabulary's entry: its text, rank and merges in the tokenizer, words that it met, and holes
# that the making left; and what making it needs for a moment more, before there is a state.
ENTRY_BYTES, MAKING_BYTES = 400, 300

Packed: TypeAlias = tuple[str, int, int]  # encoding, rows and columns


class Programs(ABC):
    """A model as native programs: one, or a reader and a writer."""

    @property
    @abstractmethod
    def matrices(self) -> Mapping[Matrix, Packed]:
        """Every matrix, those that several steps or programs share once."""

    @property
    @abstractmethod
    def held(self) -> Part:
        """The part of the model whose parameters lie in memory."""

    @property
    @abstractmethod
    def measured(self) -> NativeRates | None:
        """Rates of the kernels on this machine; None where nothing was measured."""

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Entries of the tokenizer."""

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether texts are read in both directions and nothing is written."""

    @abstractmethod
    def state(self, context: int, batch: int) -> int:
        """Return the bytes of what `batch` sequences of `context` tokens leave behind."""

    @abstractmethod
    def rows(self, context: int, batch: int) -> int:
        """Return the bytes of rows that steps share, and of results."""

    @abstractmethod
    def growth(self, context: int, batch: int) -> Growth | None:
        """Return what of `terms` is taken only as tokens come; None where nobody can tell."""

    @abstractmethod
    def step_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds of one more token of each row; None where nothing was measured."""

    @abstractmethod
    def token_seconds(self, context: int, batch: int) -> Mapping[str, float] | None:
        """Return the seconds per token of reading; None where nothing was measured."""

    @abstractmethod
    def told_state(self, found: Prediction) -> str:
        """Return what `state` multiplies with what."""

    @abstractmethod
    def told_rows(self, found: Prediction) -> str:
        """Return what `rows` multiplies with what."""

    @cached_property
    def sizes(self) -> Counter[str]:
        """Packed bytes by encoding."""
        found: Counter[str] = Counter()
        for encoding, rows, columns in self.matrices.values():
            found[encoding] += packed_bytes(encoding, rows, columns)
        return found

    @property
    def told_sizes(self) -> str:
        """Packed bytes by encoding in words, the most first."""
        return " + ".join(f"{size:,} bytes of {name}" for name, size in self.sizes.most_common())

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
        small = sum(one.elements for one in parameters(self.held) if one.name not in large)
        return NUMBER * small + sum(self.sizes.values())

    def terms(self, context: int, batch: int) -> Mapping[str, int]:
        """Return the bytes of a process that runs `batch` sequences of `context` tokens."""
        rates, state, rows = self.measured, self.state(context, batch), self.rows(context, batch)
        return {
            "weights": self.weight_bytes,
            "state": state,
            "rows": rows,
            "vocabulary": vocabulary_bytes(self.vocabulary, state + rows),
            "runtime": LIBRARY_BYTES + (IDLE_BYTES if rates is None else rates.idle_bytes),
        }

    def reasons(self, found: Prediction) -> Mapping[str, str]:
        """Return a line per term and rate: what is multiplied with what."""
        lines = {
            "weights": f"{self.told_sizes}, in panels of 16 rows; small tensors in float32",
            "state": self.told_state(found),
            "rows": self.told_rows(found),
            "vocabulary": f"{self.vocabulary:,} entries × {ENTRY_BYTES} bytes of texts and merges,"
            f" and {MAKING_BYTES} more while the tokenizer is made",
            "runtime": "the process with its kernels and no torch, no model yet; measured once",
        }
        seconds = self.step_seconds(found.context // 2, found.batch)
        if seconds is not None and not self.whole:
            parts = " + ".join(f"{value * 1e3:.3g} ms {name}" for name, value in seconds.items())
            whole = sum(seconds.values()) * 1e3
            lines["writing"] = f"{found.batch} token(s) per step of {parts} = {whole:.3g} ms"
        return lines


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


def vocabulary_bytes(entries: int, free: int) -> int:
    """Return what a tokenizer holds, and what making it takes beyond `free` bytes not used yet."""
    return ENTRY_BYTES * entries + max(0, MAKING_BYTES * entries - free)
