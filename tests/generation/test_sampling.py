"""Choosing tokens, held to transformers' logits processors."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from fathom.errors import NumericError
from fathom.generation.request import RANGES, Sampling
from fathom.generation.sampling import (
    Sampler,
    candidates,
    drawn,
    likeliest_of,
    log_probabilities,
    nucleus,
)

VOCABULARY = 200
PROMPT = (3, 5, 5, 8)
ANSWER = (5, 9, 9, 9)

# Each option alone, then together. The test below fails for an option that is not here.
CASES = [
    {"temperature": 0.3},
    {"temperature": 7.0},
    {"top_k": 1},
    {"top_k": 17},
    {"top_k": 10_000},
    {"top_p": 0.0},
    {"top_p": 0.4},
    {"top_p": 0.95},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"presence_penalty": 1.5},
    {"frequency_penalty": -0.7},
    {"seed": 11},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.1},
]


def random_scores(seed: int, spread: float = 3.0) -> Tensor:
    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * spread


def after_answer(sampling: Sampling) -> Sampler:
    """A sampler that has chosen ANSWER after PROMPT."""
    sampler = Sampler(sampling, PROMPT, VOCABULARY)
    for token in ANSWER:
        only = torch.full((VOCABULARY,), -1e30)
        only[token] = 1e30
        assert sampler.choose(only.numpy()) == token
    return sampler


def theirs(scores: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities (vocabulary,) by transformers, with OpenAI's two penalties by definition."""
    ids = torch.tensor([PROMPT + ANSWER])
    processors = LogitsProcessorList()
    scores = RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty))(ids, scores[None])
    for token, count in Counter(ANSWER).items():
        scores[0, token] -= sampling.presence_penalty + count * sampling.frequency_penalty
    processors.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(MinPLogitsWarper(sampling.min_p))
    return processors(ids, scores)[0].softmax(dim=-1)


def ours(scores: Tensor, sampling: Sampling) -> Tensor:
    penalised = after_answer(sampling).penalised(scores.numpy())
    tokens, probabilities = candidates(penalised, sampling)
    found = (torch.from_numpy(tokens.copy()),)
    return torch.zeros(VOCABULARY).index_put(found, torch.from_numpy(probabilities))


def test_every_option_has_a_case() -> None:
    assert {name for case in CASES for name in case} == set(RANGES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_probabilities_as_transformers(case: dict[str, float]) -> None:
    sampling = Sampling(**{"temperature": 1.0, **case})  # type: ignore[arg-type]
    for seed in range(20):
        scores = random_scores(seed)
        expected = theirs(scores, sampling)
        found = ours(scores, sampling)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
        assert torch.equal(found > 0, expected > 0) or sampling.temperature < 1


@given(
    seed=st.integers(0, 2**32),
    spread=st.floats(0.01, 20),
    temperature=st.floats(0.1, 5),
    top_k=st.integers(0, VOCABULARY + 1),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    penalty=st.floats(0.5, 2),
)
def test_any_options_together(
    seed: int,
    spread: float,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    penalty: float,
) -> None:
    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=penalty,
    )
    scores = random_scores(seed, spread)
    expected, found = theirs(scores, sampling), ours(scores, sampling)
    # A token right at a border may fall on either side by rounding: not what is tested here.
    assume(_away_from_borders(scores, sampling))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def _away_from_borders(scores: Tensor, sampling: Sampling) -> bool:
    penalised = torch.from_numpy(after_answer(sampling).penalised(scores.numpy()))
    scaled = penalised.double() / sampling.temperature
    if sampling.top_k:
        least = scaled.topk(min(sampling.top_k, VOCABULARY)).values[-1]
        scaled = scaled[scaled >= least]
    ordered = scaled.softmax(dim=0).sort().values
    near_p = ((ordered.cumsum(dim=0) - (1 - sampling.top_p)).abs() < 1e-5).any()
    near_m = ((ordered / ordered[-1] - sampling.min_p).abs() < 1e-5).any() and sampling.min_p < 1
    return not (near_p or near_m)


@given(st.integers(0, 2**32), st.floats(0, 1, exclude_max=True), st.floats(0, 30))
def test_the_nucleus_is_what_sorting_everything_finds(
    seed: int, top_p: float, spread: float
) -> None:
    probabilities = random_scores(seed, spread).double().softmax(dim=0)
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(dim=0) - ordered
    assume(not ((before - top_p).abs() < 1e-9).any() or top_p == 0)
    expected = order[(before < top_p) | (torch.arange(VOCABULARY) == 0)]
    found = torch.from_numpy(nucleus(probabilities.numpy(), top_p))
    # Of equally likely tokens any will do, so their probabilities are compared.
    assert torch.equal(probabilities[found].sort().values, probabilities[expected].sort().values)


def test_greedy_takes_the_best_and_the_first_of_equals() -> None:
    scores = np.zeros(VOCABULARY, dtype=np.float32)
    assert Sampler(Sampling(), PROMPT, VOCABULARY).choose(scores) == 0
    scores[70] = 1.0
    assert Sampler(Sampling(), PROMPT, VOCABULARY).choose(scores) == 70


def test_bias_comes_first() -> None:
    sampling = Sampling(logit_bias={4: 2.0, 5: 3.0}, repetition_penalty=2.0)
    scores = Sampler(sampling, PROMPT, VOCABULARY).penalised(np.ones(VOCABULARY, dtype=np.float32))
    assert scores[[4, 5, 6]].tolist() == [3.0, 2.0, 1.0]  # 5 is in the prompt: (1 + 3) / 2


@given(
    st.integers(0, 2**32), st.integers(1, 2000), st.floats(0, 1, exclude_max=True), st.floats(0, 30)
)
def test_a_draw_is_where_the_running_sum_passes_its_share(
    seed: int, count: int, share: float, spread: float
) -> None:
    scores = np.random.default_rng(seed).standard_normal(count) * spread
    probabilities = np.exp(scores - scores.max()).astype(np.float32)
    place = drawn(probabilities, share)
    sums = probabilities.cumsum(dtype=np.float64)
    assert probabilities[place] > 0
    assert sums[place] >= sums[-1] * share * (1 - 1e-12)
    assert sums[place] - probabilities[place] <= sums[-1] * share * (1 + 1e-12)


def test_draws_follow_the_probabilities() -> None:
    sampling = Sampling(temperature=0.7, top_k=6, seed=1)
    scores = random_scores(2).numpy()
    tokens, probabilities = candidates(scores, sampling)
    sampler, draws = Sampler(sampling, PROMPT, VOCABULARY), 20_000
    drawn = Counter(sampler.choose(scores) for _ in range(draws))
    assert set(drawn) == set(tokens.tolist())
    for token, probability in zip(tokens.tolist(), probabilities.tolist(), strict=True):
        deviation = math.sqrt(draws * probability * (1 - probability))
        assert abs(drawn[token] - draws * probability) < 5 * deviation


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    sampling = Sampling(temperature=1.0, seed=42)
    rows = [random_scores(seed).numpy() for seed in range(30)]
    alone = Sampler(sampling, PROMPT, VOCABULARY)
    expected = [alone.choose(row) for row in rows]

    random.seed(123)  # the global generator has no part in it
    beside = Sampler(sampling, PROMPT, VOCABULARY)
    other = Sampler(Sampling(temperature=2.0, seed=7), (1,), VOCABULARY)
    found = []
    for index, row in enumerate(rows):
        if index % 3:
            other.choose(row)
        found.append(beside.choose(row))
    assert found == expected

    different = Sampler(Sampling(temperature=1.0, seed=43), PROMPT, VOCABULARY)
    assert [different.choose(row) for row in rows] != expected


def test_without_a_seed_each_sequence_has_its_own_and_tells_it() -> None:
    first, second = (Sampler(Sampling(temperature=1.0), PROMPT, VOCABULARY) for _ in range(2))
    assert first.seed != second.seed
    again = Sampler(Sampling(temperature=1.0, seed=first.seed), PROMPT, VOCABULARY)
    rows = [random_scores(seed).numpy() for seed in range(10)]
    assert [first.choose(row) for row in rows] == [again.choose(row) for row in rows]


@pytest.mark.parametrize("temperature", [0.0, 1e-6, 1.0, 100.0])
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_no_temperature_overflows(temperature: float, scale: float) -> None:
    sampler = Sampler(Sampling(temperature=temperature, seed=3), PROMPT, VOCABULARY)
    token = sampler.choose(random_scores(1).numpy() * np.float32(scale))
    assert 0 <= token < VOCABULARY


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    scores = random_scores(0).numpy()
    scores[17] = -math.inf  # a token that the model rules out is fine
    assert Sampler(Sampling(), PROMPT, VOCABULARY).choose(scores) != 17
    scores[18] = bad
    with pytest.raises(NumericError, match="float32"):
        Sampler(Sampling(), PROMPT, VOCABULARY).choose(scores)
    with pytest.raises(NumericError):
        Sampler(Sampling(), PROMPT, VOCABULARY).choose(np.full(VOCABULARY, -np.inf))


def test_log_probabilities_are_float32_of_the_scores_as_they_are() -> None:
    scores = random_scores(5)
    found = torch.from_numpy(log_probabilities(scores.numpy()))
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), scores.double().log_softmax(dim=0), check_dtype=False
    )


@given(
    st.lists(st.sampled_from([-3.0, -1.5, -1.0, -math.inf]), min_size=1, max_size=30),
    st.integers(0, 40),
)
def test_the_likeliest_are_in_order(values: list[float], count: int) -> None:
    found = likeliest_of(np.asarray(values, dtype=np.float32), count).tolist()
    expected = sorted(range(len(values)), key=lambda place: -values[place])[:count]
    assert [values[place] for place in found] == [values[place] for place in expected]
    assert found == sorted(found, key=lambda place: (-values[place], place))
