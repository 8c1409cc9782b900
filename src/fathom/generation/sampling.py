"""From a model's scores to the next token: penalties, temperature, narrowing, one draw.

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

from fathom.errors import NumericError
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
        prompt: Sequence[int],
        vocabulary: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.sampling = sampling
        self.seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._generator = torch.Generator().manual_seed(self.seed)
        self._bias = _bias(sampling, vocabulary, device)
        self._occurred = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._occurred[torch.tensor(prompt, dtype=torch.long, device=device)] = True
        self._counts = torch.zeros(vocabulary, device=device)  # in the answer alone

    def choose(self, scores: Tensor) -> int:
        """Return the next token for the model's scores (vocabulary,), and remember it.

        Raises:
            NumericError: when the best score is not a finite number.
        """
        scores = self.penalised(scores.float())
        best, token = scores.max(dim=0)  # NaN wins over all
        if not math.isfinite(best.item()):
            raise NumericError(
                f"the model's best score is {best.item()}: its weights are broken or overflow in "
                "this type; try float32"
            )
        chosen = int(token.item()) if self.sampling.greedy else self._draw(scores)
        self.remember(chosen)
        return chosen

    def remember(self, token: int) -> None:
        """Take note of a token of the answer, for the penalties."""
        self._occurred[token] = True
        self._counts[token] += 1

    def penalised(self, scores: Tensor) -> Tensor:
        """Return float32 scores (vocabulary,) with bias and penalties applied."""
        sampling = self.sampling
        if self._bias is not None:
            scores = scores + self._bias
        if sampling.repetition_penalty != 1.0:
            penalty = sampling.repetition_penalty
            repeated = torch.where(scores < 0, scores * penalty, scores / penalty)
            scores = torch.where(self._occurred, repeated, scores)
        if sampling.presence_penalty != 0.0:
            scores = scores - sampling.presence_penalty * (self._counts > 0)
        if sampling.frequency_penalty != 0.0:
            scores = scores - sampling.frequency_penalty * self._counts
        return scores

    def _draw(self, scores: Tensor) -> int:
        """Return a token by its probability: where a number in [0, 1) falls in their sum."""
        tokens, probabilities = candidates(scores, self.sampling)
        sums = probabilities.double().cumsum(dim=0)
        share = torch.rand((), dtype=torch.float64, generator=self._generator).item()
        return int(tokens[torch.searchsorted(sums, sums[-1] * share, right=True)].item())


def _bias(sampling: Sampling, vocabulary: int, device: torch.device | str) -> Tensor | None:
    if not sampling.logit_bias:
        return None
    bias = torch.zeros(vocabulary)
    for token, value in sampling.logit_bias.items():
        bias[token] = value
    return bias.to(device)


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
