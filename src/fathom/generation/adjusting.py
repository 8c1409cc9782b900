"""A model's scores before a token is chosen: bias, penalties, and what may not be written.

The meaning of each is that of transformers' logits processors, to which the tests hold it. Rows
are sequences side by side, so that one sequence and a search with several use the same. In NumPy,
on the processor: what is adjusted are a few tokens, and a native program needs no PyTorch for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fathom.generation.constraints import Constraints, Limits
from fathom.generation.request import Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Places = NDArray[np.intp]


class Adjuster:
    """Adjusts the scores of sequences that all began with `before` tokens, by their ids so far."""

    def __init__(self, sampling: Sampling, limits: Limits, before: int, vocabulary: int) -> None:
        self.sampling = sampling
        self.limits = limits
        self.before = before
        self.vocabulary = vocabulary
        self._biased = self._known(sampling.logit_bias)
        bias = [sampling.logit_bias[token] for token in self._biased.tolist()]
        self._bias = np.asarray(bias, dtype=np.float32)
        self._never = self._known(_always_banned(limits))
        self._first = self._known(limits.constraints.begin_suppress_tokens)
        self._ends = self._known(limits.end)

    @property
    def idle(self) -> bool:
        """Whether it changes nothing, whatever is written."""
        plain = (1.0, 0.0, 0.0)
        sampling = self.sampling
        penalties = sampling.repetition_penalty, sampling.presence_penalty
        return (
            (*penalties, sampling.frequency_penalty) == plain
            and not len(self._biased)
            and self.limits.constraints == Constraints()
        )

    def __call__(self, scores: Floats, written: Sequence[list[int]]) -> Floats:
        """Return scores (rows, vocabulary) float32, adjusted.

        `written` are the ids of each row, those before the answer included.
        """
        adjusted = np.array(scores, dtype=np.float32)
        for row, ids in zip(adjusted, written, strict=True):
            row[self._biased] += self._bias
            self._penalise(row, ids)
            self._constrain(row, ids)
        return adjusted

    def _penalise(self, row: Floats, ids: list[int]) -> None:
        """Change the scores of tokens that were written, in place."""
        sampling = self.sampling
        if sampling.repetition_penalty != 1.0:
            penalty = np.float32(sampling.repetition_penalty)
            seen = np.unique(np.asarray(ids, dtype=np.intp))
            row[seen] = np.where(row[seen] < 0, row[seen] * penalty, row[seen] / penalty)
        if sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0:
            answer = np.asarray(ids[self.before :], dtype=np.intp)
            tokens, counts = np.unique(answer, return_counts=True)
            row[tokens] -= np.float32(sampling.presence_penalty)
            row[tokens] -= np.float32(sampling.frequency_penalty) * counts.astype(np.float32)

    def _constrain(self, row: Floats, ids: list[int]) -> None:
        """Rule out what may not come next, in place."""
        constraints = self.limits.constraints
        answered = len(ids) - self.before
        row[self._never] = -np.inf
        if answered == 0:
            row[self._first] = -np.inf
        if answered < constraints.min_tokens:
            row[self._ends] = -np.inf
        row[banned_next(ids, constraints)] = -np.inf
        if constraints.forced_end is not None and answered + 1 == self.limits.max_tokens:
            row[:] = -np.inf
            row[constraints.forced_end] = 0.0

    def _known(self, tokens: Iterable[int]) -> Places:
        """Return those ids that the model has scores for."""
        return np.asarray([id for id in tokens if id < self.vocabulary], dtype=np.intp)


def _always_banned(limits: Limits) -> list[int]:
    """Return the ids that are never written; a bad word does not take away the end of an answer."""
    words = limits.constraints.bad_words
    alone = [word[0] for word in words if len(word) == 1 and word[0] not in limits.end]
    return [*limits.constraints.suppress_tokens, *alone]


def banned_next(ids: list[int], constraints: Constraints) -> list[int]:
    """Return the ids that may not follow others: ends of bad words, and of runs seen before."""
    banned = [
        word[-1]
        for word in constraints.bad_words
        if len(word) > 1 and tuple(ids[1 - len(word) :]) == word[:-1]
    ]
    size = constraints.no_repeat_ngram_size
    if size == 0 or len(ids) < size:
        return banned
    last = ids[len(ids) - size + 1 :]
    starts = range(len(ids) - size + 1)
    return banned + [
        ids[start + size - 1]
        for start in starts
        if size == 1 or ids[start : start + size - 1] == last
    ]
