"""Which token may come next in a transcript: no noise words, times in pairs and never backwards.

The rules are those of the published model, as transformers' logits processors state them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.tasks.transcribe_control import Control


class Rules:
    """Bounds the scores of one transcript after the other."""

    def __init__(self, control: Control, vocabulary: int, *, timed: bool) -> None:
        self.control = control
        self.timed = timed
        never = [*control.never, *([control.no_times] if timed else [])]
        self._never = _mask([id for id in never if id is not None], vocabulary)
        self._never_first = _mask(control.never_first, vocabulary)

    def __call__(self, scores: Tensor, written: Sequence[int]) -> Tensor:
        """Return float32 scores (vocabulary,) of the token after those `written` so far."""
        scores = scores.float().masked_fill(self._never, -math.inf)
        if not written:
            scores = scores.masked_fill_(self._never_first, -math.inf)
        if self.timed and self.control.times is not None:
            self._bound_times(scores, written, self.control.times)
        return scores

    def _bound_times(self, scores: Tensor, written: Sequence[int], times: int) -> None:
        """Times stand in pairs but before the end, do not go back, and open the transcript."""
        end, latest = self.control.end, self.control.latest_first
        last = bool(written) and written[-1] >= times
        last_two = len(written) < 2 or written[-2] >= times
        if last and last_two:
            scores[times:] = -math.inf
        elif last:
            scores[:end] = -math.inf
        told = [token for token in written if token >= times]
        if told:  # the second of a pair may repeat the first; no other time is said twice
            scores[times : told[-1] + (0 if last and not last_two else 1)] = -math.inf
        if not written:
            scores[:times] = -math.inf
            if latest is not None:
                scores[times + latest + 1 :] = -math.inf
        logarithms = scores.log_softmax(dim=0)
        if logarithms[times:].logsumexp(dim=0) > logarithms[:times].max():
            scores[:times] = -math.inf  # some time is likelier than any one text token


def _mask(tokens: Sequence[int], vocabulary: int) -> Tensor:
    mask = torch.zeros(vocabulary, dtype=torch.bool)
    mask[list(tokens)] = True
    return mask
