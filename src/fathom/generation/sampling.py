"""From a model's scores to the next token: adjustment, temperature, narrowing, one draw.

The order and meaning of each stage are those of transformers' logits processors, which the tests
hold it to. Narrowing works on ever fewer candidates instead of masking the whole vocabulary: the
costly sort of top-p sees only the tokens that could survive it. In NumPy, as `adjusting`; the
native kernels do all of it in one call, as `ops/kernels/sampling_kernels.hpp` tells.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from fathom.errors import RequestError
from fathom.generation.adjusting import Adjuster
from fathom.generation.constraints import Limits
from fathom.generation.greedy import require_finite
from fathom.generation.request import Sampling
from fathom.ops.native import native

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Places = NDArray[np.intp]


BLOCK = 256  # probabilities that are summed up together


class Sampler:
    """Chooses the tokens of one sequence.

    A draw takes one number from the sequence's own generator, so it depends on the seed and on
    how many tokens came before, not on what else is computed at the same time, nor on the device.

    Attributes:
        seed: the one in use, also when the request left it open.
    """

    def __init__(
        self,
        sampling: Sampling,
        before: Sequence[int],
        vocabulary: int,
        limits: Limits | None = None,
    ) -> None:
        """Begin an answer that comes after some tokens: a prompt, or what opens an answer."""
        self.sampling = sampling
        self.seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        self._chance = Random(self.seed)
        self._adjuster = Adjuster(sampling, limits or Limits(), len(before), vocabulary)
        self._idle = self._adjuster.idle
        self._written = list(before)

    def choose(self, scores: Floats) -> int:
        """Return the next token for the model's scores (vocabulary,), and remember it.

        Raises:
            NumericError: when the best score is not a finite number.
            RequestError: when no token may be written.
        """
        adjusted = scores
        if not self._idle:
            require_finite(float(scores.max()))  # NaN wins over all
            adjusted = self.penalised(scores)
        token = int(adjusted.argmax()) if self.sampling.greedy else self._draw(adjusted)
        if token < 0 or self.sampling.greedy:
            self._require_best(scores, adjusted)
        self.remember(token)
        return token

    def _require_best(self, scores: Floats, adjusted: Floats) -> None:
        """Refuse scores of which none is a token's."""
        require_finite(float(scores.max()))
        if adjusted.max() == -np.inf:
            raise RequestError("no token may be written here; loosen what may not be written")
        require_finite(float(adjusted.max()))

    def remember(self, token: int) -> None:
        """Take note of a token of the answer, for the penalties."""
        self._written.append(token)

    def penalised(self, scores: Floats) -> Floats:
        """Return float32 scores (vocabulary,) with bias, penalties and constraints applied."""
        return self._adjuster(scores[None], [self._written])[0]

    def _draw(self, scores: Floats) -> int:
        """Return a token by its probability: where a number in [0, 1) falls in their sum.

        It is below 0 where the best score is no finite number.
        """
        sampling, share = self.sampling, self._chance.random()
        if (draw := native_draw()) is not None:
            narrowed = sampling.top_k, sampling.top_p, sampling.min_p
            return int(draw(scores, sampling.temperature, *narrowed, share))
        if not math.isfinite(float(scores.max())):
            return -1
        tokens, probabilities = candidates(scores, sampling)
        return int(tokens[drawn(probabilities, share)])


@cache
def native_draw() -> Callable[..., int] | None:
    """Return what draws from scores in one call, or None where there are no native kernels."""
    module = native()
    return None if isinstance(module, str) else module.draw


def candidates(scores: Floats, sampling: Sampling) -> tuple[Places, Floats]:
    """Return the tokens that may be drawn, in order, and their probabilities, both (candidates,).

    `scores` (vocabulary,) are float32 with penalties applied; the temperature is above 0.
    """
    tokens = every_place(len(scores))
    # The best score becomes 0, so that no temperature makes it overflow.
    scores = (scores - scores.max()) / np.float32(sampling.temperature)
    if 0 < sampling.top_k < len(scores):
        tokens = among_best(scores, sampling.top_k)
        least = np.partition(scores[tokens], -sampling.top_k)[-sampling.top_k]
        tokens = tokens[scores[tokens] >= least]
        scores = scores[tokens]
    if sampling.top_p < 1.0:
        kept = nucleus(softmax(scores), sampling.top_p)
        tokens, scores = tokens[kept], scores[kept]
    if sampling.min_p > 0.0:
        kept = np.flatnonzero(scores >= math.log(sampling.min_p))
        tokens, scores = tokens[kept], scores[kept]
    return tokens, softmax(scores)


def drawn(probabilities: Floats, share: float) -> int:
    """Return the place where a share, [0, 1), of the sum of probabilities (n,) falls.

    Sums of blocks come first: running sums over a whole vocabulary take longer than all the rest.
    """
    starts = np.arange(0, len(probabilities), BLOCK)
    sums = np.add.reduceat(probabilities, starts, dtype=np.float64).cumsum()
    wanted = sums[-1] * share
    block = min(int(sums.searchsorted(wanted, side="right")), len(starts) - 1)
    part = probabilities[starts[block] : starts[block] + BLOCK]
    within = part.cumsum(dtype=np.float64)
    place = int(within.searchsorted(wanted - (sums[block - 1] if block else 0.0), side="right"))
    if place < len(part):
        return int(starts[block]) + place
    return int(np.flatnonzero(probabilities)[-1])  # past the end by rounding


def among_best(scores: Floats, count: int) -> Places:
    """Return places of (n,) among which are the `count` best and all that equal the last of them.

    The best of each of enough blocks bound those from below, which spares sorting the others.
    """
    size = len(scores) // (2 * count)
    if size < 2:
        return every_place(len(scores))
    best = np.maximum.reduceat(scores, np.arange(0, len(scores), size))
    return np.flatnonzero(scores >= np.partition(best, -count)[-count])


def nucleus(probabilities: NDArray[np.floating], top_p: float) -> Places:
    """Return the places of the fewest probabilities (n,) that sum to `top_p`, at least one.

    A token goes when it and all less likely ones sum to no more than 1 - `top_p`. Those below
    that amount's even share, (1 - `top_p`) / n, are sure to go, and need no sorting. Of equal
    ones the first stay.
    """
    cut = 1.0 - top_p
    even_share = min(float(probabilities.max()), cut / len(probabilities))
    places = np.flatnonzero(probabilities >= even_share)[::-1]
    order = probabilities[places].argsort(kind="stable")
    ordered = probabilities[places[order]].astype(np.float64)
    sums = 1.0 - ordered.sum() + ordered.cumsum()  # less likely ones and itself
    kept = sums > cut
    kept[-1] = True
    return np.sort(places[order[kept]])


@lru_cache(maxsize=8)
def every_place(count: int) -> Places:
    """Return 0 … `count` - 1, kept: taking such memory from the system takes longer than a draw."""
    places = np.arange(count)
    places.setflags(write=False)
    return places


def softmax(scores: Floats) -> Floats:
    """Return probabilities (n,) of scores of which the best is 0 or near it."""
    weights = np.exp(scores)
    return weights / weights.sum(dtype=np.float64).astype(np.float32)


def log_probabilities(scores: Floats) -> Floats:
    """Return float32 log-probabilities of the model's own scores: no penalty, no temperature."""
    shifted = (scores - scores.max()).astype(np.float64)
    return (shifted - np.log(np.exp(shifted).sum())).astype(np.float32)


def likeliest_of(logprobs: Floats, count: int) -> Places:
    """Return the places of the `count` best of (n,), the best first, of equal ones the first."""
    count = min(count, len(logprobs))
    if count == 0:
        return np.zeros(0, dtype=np.intp)
    best = among_best(logprobs, count)
    return best[np.lexsort((best, -logprobs[best]))][:count]
