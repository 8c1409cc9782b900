"""From a model's scores to the next token: adjustment, temperature, narrowing, one draw.

The order and meaning of each stage are those of transformers' logits processors, which the tests
hold it to. Narrowing works on ever fewer candidates instead of masking the whole vocabulary: the
costly sort of top-p sees only the tokens that could survive it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.errors import RequestError
from fathom.generation.adjusting import Adjuster
from fathom.generation.constraints import Limits
from fathom.generation.greedy import require_finite
from fathom.generation.request import Sampling


class Sampler:
    """Chooses the tokens of one sequence.

    A draw takes one number from the sequence's own generator, which lives on the processor. So
    it depends on the seed and on how many tokens came before, not on what else is computed at
    the same time, nor on the device.

    Attributes:
        seed: the one in use, also when the request left it open.
    """

    def __init__(
        self,
        sampling: Sampling,
        before: Sequence[int],
        vocabulary: int,
        device: torch.device | str = "cpu",
        limits: Limits | None = None,
    ) -> None:
        """Begin an answer that comes after some tokens: a prompt, or what opens an answer."""
        self.sampling = sampling
        self.seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._generator = torch.Generator().manual_seed(self.seed)
        self._adjuster = Adjuster(sampling, limits or Limits(), len(before), vocabulary, device)
        self._written = list(before)

    def choose(self, scores: Tensor) -> int:
        """Return the next token for the model's scores (vocabulary,), and remember it.

        Raises:
            NumericError: when the best score is not a finite number.
            RequestError: when no token may be written.
        """
        raw = scores.float()
        highest = raw.max().item()  # NaN wins over all
        require_finite(highest)
        scores = self.penalised(raw)
        best, token = scores.max(dim=0)
        if best.item() == -math.inf:
            raise RequestError("no token may be written here; loosen what may not be written")
        chosen = int(token.item()) if self.sampling.greedy else self._draw(scores)
        self.remember(chosen)
        return chosen

    def remember(self, token: int) -> None:
        """Take note of a token of the answer, for the penalties."""
        self._written.append(token)

    def penalised(self, scores: Tensor) -> Tensor:
        """Return float32 scores (vocabulary,) with bias, penalties and constraints applied."""
        return self._adjuster(scores[None], [self._written])[0]

    def _draw(self, scores: Tensor) -> int:
        """Return a token by its probability: where a number in [0, 1) falls in their sum."""
        tokens, probabilities = candidates(scores, self.sampling)
        sums = probabilities.double().cumsum(dim=0)
        share = torch.rand((), dtype=torch.float64, generator=self._generator).item()
        return int(tokens[torch.searchsorted(sums, sums[-1] * share, right=True)].item())


def candidates(scores: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Return the tokens that may be drawn and their probabilities, both (candidates,).

    `scores` (vocabulary,) are float32 with penalties applied; the temperature is above 0.
    """
    tokens = torch.arange(len(scores), device=scores.device)
    # The best score becomes 0, so that no temperature makes it overflow.
    scores = (scores - scores.max()) / sampling.temperature
    if 0 < sampling.top_k < len(scores):
        kept = scores >= scores.topk(sampling.top_k).values[-1]
        tokens, scores = tokens[kept], scores[kept]
    if sampling.top_p < 1.0:
        kept = nucleus(scores.softmax(dim=0), sampling.top_p)
        tokens, scores = tokens[kept], scores[kept]
    if sampling.min_p > 0.0:
        kept = scores >= math.log(sampling.min_p)
        tokens, scores = tokens[kept], scores[kept]
    return tokens, scores.softmax(dim=0)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Return the places of the fewest probabilities (n,) that sum to `top_p`, at least one.

    A token goes when it and all less likely ones sum to no more than 1 - `top_p`. Those below
    that amount's even share, (1 - `top_p`) / n, are sure to go, and need no sorting.
    """
    cut = 1.0 - top_p
    even_share = probabilities.max().clamp(max=cut / len(probabilities))
    places = (probabilities >= even_share).nonzero().squeeze(1)
    ordered, order = probabilities[places].sort()
    sums = 1.0 - ordered.sum() + ordered.cumsum(dim=0)  # less likely ones and itself
    kept = sums > cut
    kept[-1] = True
    return places[order[kept]]


def log_probabilities(scores: Tensor) -> Tensor:
    """Return float32 log-probabilities of the model's own scores: no penalty, no temperature."""
    return scores.float().log_softmax(dim=-1)
