"""A model's scores before a token is chosen: bias, penalties, and what may not be written.

The meaning of each is that of transformers' logits processors, to which the tests hold it. Rows
are sequences side by side, so that one sequence and a search with several use the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.generation.constraints import Constraints, Limits
from fathom.generation.request import Sampling


class Adjuster:
    """Adjusts the scores of sequences that all began with `before` tokens, by their ids so far."""

    def __init__(
        self,
        sampling: Sampling,
        limits: Limits,
        before: int,
        vocabulary: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.sampling = sampling
        self.limits = limits
        self.before = before
        self.vocabulary = vocabulary
        self.device = torch.device(device)
        self._bias = self._biased()
        self._never = self._mask(_always_banned(limits))
        self._first = self._mask(limits.constraints.begin_suppress_tokens)
        self._ends = self._mask(limits.end)

    def __call__(self, scores: Tensor, written: Sequence[list[int]]) -> Tensor:
        """Return scores (rows, vocabulary) float32, adjusted.

        `written` are the ids of each row, those before the answer included; all are as long.
        """
        if self._bias is not None:
            scores = scores + self._bias
        scores = self._penalised(scores, written)
        return self._constrained(scores, written)

    def _penalised(self, scores: Tensor, written: Sequence[list[int]]) -> Tensor:
        sampling = self.sampling
        if sampling.repetition_penalty != 1.0:
            penalty = sampling.repetition_penalty
            repeated = torch.where(scores < 0, scores * penalty, scores / penalty)
            scores = torch.where(self._counts(written, 0) > 0, repeated, scores)
        if sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0:
            counts = self._counts(written, self.before)
            scores = scores - sampling.presence_penalty * (counts > 0)
            scores = scores - sampling.frequency_penalty * counts
        return scores

    def _constrained(self, scores: Tensor, written: Sequence[list[int]]) -> Tensor:
        constraints = self.limits.constraints
        answered = len(written[0]) - self.before
        if self._never is not None:
            scores = scores.masked_fill(self._never, -math.inf)
        if self._first is not None and answered == 0:
            scores = scores.masked_fill(self._first, -math.inf)
        if self._ends is not None and answered < constraints.min_tokens:
            scores = scores.masked_fill(self._ends, -math.inf)
        banned = [banned_next(ids, constraints) for ids in written]
        if any(banned):
            scores = scores.clone()
            for row, tokens in enumerate(banned):
                scores[row, tokens] = -math.inf
        if constraints.forced_end is not None and answered + 1 == self.limits.max_tokens:
            scores = torch.full_like(scores, -math.inf)
            scores[:, constraints.forced_end] = 0.0
        return scores

    def _counts(self, written: Sequence[list[int]], start: int) -> Tensor:
        """How often each id occurs in each row from `start` on: (rows, vocabulary)."""
        ids = torch.tensor([row[start:] for row in written], dtype=torch.long, device=self.device)
        counts = torch.zeros(len(written), self.vocabulary, device=self.device)
        return counts.scatter_add_(1, ids, torch.ones(ids.shape, device=self.device))

    def _biased(self) -> Tensor | None:
        if not self.sampling.logit_bias:
            return None
        bias = torch.zeros(self.vocabulary)
        for token, value in self.sampling.logit_bias.items():
            bias[token] = value
        return bias.to(self.device)

    def _mask(self, tokens: Sequence[int] | frozenset[int]) -> Tensor | None:
        """(vocabulary,), True at some ids; None where there are none."""
        known = [token for token in tokens if token < self.vocabulary]
        if not known:
            return None
        mask = torch.zeros(self.vocabulary, dtype=torch.bool)
        mask[known] = True
        return mask.to(self.device)


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
