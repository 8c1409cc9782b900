"""A token drawn natively is the one that the definition in NumPy draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fathom.generation.request import Sampling
from fathom.generation.sampling import candidates
from fathom.ops.native import native

NARROWED = [
    {},
    {"top_k": 1},
    {"top_k": 40},
    {"top_k": 10**6},
    {"top_p": 0.0},
    {"top_p": 0.637},
    {"top_p": 0.95},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"top_k": 7, "top_p": 0.9},
    {"top_k": 50, "top_p": 0.95, "min_p": 0.1},
]


def drawn(scores: np.ndarray, sampling: Sampling, share: float) -> int:
    narrowed = sampling.top_k, sampling.top_p, sampling.min_p
    return native().draw(scores, sampling.temperature, *narrowed, share)  # type: ignore[union-attr]


def held(scores: np.ndarray, sampling: Sampling) -> None:
    """Whatever the share, the token is one of those that may be, and it is the share's own."""
    tokens, probabilities = candidates(scores, sampling)
    sums = probabilities.cumsum(dtype=np.float64)
    for share in (0.0, *np.random.default_rng(5).random(50), math.nextafter(1, 0)):
        token = drawn(scores, sampling, share)
        place = int(tokens.searchsorted(token))
        assert tokens[place] == token
        assert sums[place] - probabilities[place] - 1e-4 <= share <= sums[place] + 1e-4


@pytest.mark.parametrize("narrowed", NARROWED, ids=str)
@pytest.mark.parametrize("count", [1, 63, 1000, 50_257])
@pytest.mark.parametrize("spread", [0.01, 1.0, 5.0])
def test_the_same_token_at_every_share(
    narrowed: dict[str, float], count: int, spread: float
) -> None:
    scores = np.random.default_rng(count).normal(size=count).astype(np.float32) * np.float32(spread)
    scores[count // 2 + 1 : count // 2 + 3] = -np.inf
    for temperature in (0.3, 1.0, 7.0):
        held(scores, Sampling(temperature=temperature, **narrowed))  # type: ignore[arg-type]


@pytest.mark.parametrize("narrowed", NARROWED, ids=str)
def test_of_equal_scores_the_same_ones_stay(narrowed: dict[str, float]) -> None:
    for levels in (1, 4):
        scores = np.random.default_rng(levels).integers(0, levels, 300).astype(np.float32)
        held(scores, Sampling(temperature=1.0, **narrowed))  # type: ignore[arg-type]


def test_scores_without_a_finite_best_have_no_token() -> None:
    sampling = Sampling(temperature=1.0)
    for bad in ([0.0, np.nan, 1.0], [np.inf, 0.0], [-np.inf, -np.inf]):
        assert drawn(np.asarray(bad, dtype=np.float32), sampling, 0.5) == -1
    assert drawn(np.asarray([-np.inf, 0.0], dtype=np.float32), sampling, 0.5) == 1


@pytest.mark.parametrize(
    "changed",
    [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 1.5}, {"min_p": math.nan}, {"share": 1.0}],
    ids=str,
)
def test_numbers_out_of_their_range_are_refused(changed: dict[str, float]) -> None:
    sound = {"temperature": 1.0, "top_k": 2, "top_p": 0.9, "min_p": 0.1, "share": 0.5}
    scores = np.zeros(3, dtype=np.float32)
    module = native()
    assert module.draw(scores, **sound) in (0, 1)  # type: ignore[union-attr]
    with pytest.raises(ValueError):
        module.draw(scores, **{**sound, **changed})  # type: ignore[union-attr]
    with pytest.raises(ValueError):
        module.draw(scores[:0], **sound)  # type: ignore[union-attr]
