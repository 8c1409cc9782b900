"""Requests are checked when they are made: every range has its accepted and its refused numbers."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from fathom.errors import ConfigError, RequestError
from fathom.generation.request import COLDEST, RANGES, Request, Sampling

NUMBERS = sorted(RANGES)


def test_every_number_of_sampling_has_a_range() -> None:
    assert {part.name for part in fields(Sampling)} == {*RANGES, "logit_bias"}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_ends_of_a_range_are_accepted(name: str) -> None:
    for value in (RANGES[name].least, RANGES[name].most):
        assert getattr(Sampling(**{name: value}), name) == value


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("beyond", ["below", "above", "nan", "inf", "text", "flag", "huge"])
def test_beyond_a_range_is_refused_by_name(name: str, beyond: str) -> None:
    allowed = RANGES[name]
    value = {
        "below": allowed.least - 1,
        "above": allowed.most * 2 + 1,
        "nan": float("nan"),
        "inf": float("inf"),
        "text": "1",
        "flag": True,
        "huge": 10**400,
    }[beyond]
    with pytest.raises(RequestError, match=f"^{name} must be a .*number from") as refused:
        Sampling(**{name: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if RANGES[name].whole])
def test_whole_numbers_are_whole(name: str) -> None:
    assert getattr(Sampling(**{name: np.int64(3)}), name) == 3
    with pytest.raises(RequestError, match=f"{name} must be a whole number"):
        Sampling(**{name: 3.0})


@pytest.mark.parametrize(
    ("bias", "fine"),
    [({3: 100}, True), ({3: -100.0}, True), ({3: 101}, False), ({-1: 1}, False), ({"3": 1}, False)],
)
def test_logit_bias(bias: dict[int, float], fine: bool) -> None:
    if fine:
        assert Sampling(logit_bias=bias).logit_bias == bias
    else:
        with pytest.raises(RequestError, match="logit_bias"):
            Sampling(logit_bias=bias)


def test_logit_bias_must_be_a_mapping() -> None:
    with pytest.raises(RequestError, match="logit_bias must map"):
        Sampling(logit_bias=[(3, 1.0)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Sampling()),
        ({"temperature": 0.6, "top_p": 0.9}, Sampling()),
        ({"do_sample": False, "repetition_penalty": 1.1}, Sampling(repetition_penalty=1.1)),
        ({"do_sample": True}, Sampling(temperature=1.0)),
        (
            {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": None},
            Sampling(temperature=0.6, top_k=20, top_p=0.95),
        ),
    ],
)
def test_what_the_publisher_says(config: dict[str, object], expected: Sampling) -> None:
    assert Sampling.published(config) == expected


def test_a_publisher_out_of_range_is_a_broken_file() -> None:
    with pytest.raises(ConfigError, match=r"generation_config\.json: top_p must be"):
        Sampling.published({"do_sample": True, "top_p": 1.5})


def test_options_replace_defaults() -> None:
    published = Sampling(temperature=0.6, top_k=20)
    changed = published.changed({"temperature": 0.9, "seed": 5, "top_p": None})
    assert changed == replace(published, temperature=0.9, seed=5)
    with pytest.raises(RequestError, match=r"'temprature'.*Did you mean temperature"):
        published.changed({"temprature": 1})


@pytest.mark.parametrize("name", ["top_k", "top_p", "min_p"])
def test_narrowing_asks_for_a_choice(name: str) -> None:
    assert Sampling().changed({name: 1}).temperature == 1.0
    assert Sampling().changed({name: 1, "temperature": 0}).greedy
    assert Sampling(temperature=0.5).changed({name: 1}).temperature == 0.5
    assert Sampling().changed({"seed": 1}).greedy


def test_a_temperature_of_next_to_nothing_is_none() -> None:
    assert Sampling(temperature=COLDEST / 2).greedy
    assert not Sampling(temperature=COLDEST).greedy


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"prompt": []}, "the prompt is empty"),
        ({"prompt": [-1]}, "token id of the prompt"),
        ({"prompt": [1.5]}, "token id of the prompt"),
        ({"max_tokens": 0}, "max_tokens must be a whole number from 1"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"stop": [""]}, "stop text"),
        ({"stop": ""}, "stop text"),
        ({"stop": [7]}, "stop text"),
        ({"logprobs": -1}, "logprobs"),
    ],
)
def test_requests_that_make_no_sense(options: dict[str, object], complaint: str) -> None:
    sound: dict[str, object] = {"prompt": [1], "max_tokens": 1, "stop": ["x"], "logprobs": 0}
    assert Request(**sound).prompt == (1,)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=complaint):
        Request(**{**sound, **options})  # type: ignore[arg-type]


def test_options_of_both_kinds_by_name() -> None:
    options = {"max_tokens": 5, "stop": ["x"], "logprobs": None, "temperature": 0.5}
    expected = Request([1], max_tokens=5, stop=["x"], sampling=Sampling(temperature=0.5, top_k=3))
    assert Request.asked([1], Sampling(top_k=3), options) == expected
    with pytest.raises(RequestError, match=r"'max_token'.*Did you mean max_tokens"):
        Request.asked([1], Sampling(), {"max_token": 5})
    with pytest.raises(RequestError, match="no option 'prompt'"):
        Request.asked([1], Sampling(), {"prompt": [2]})


def test_one_stop_text_may_be_a_string() -> None:
    assert Request([1], stop="end").stop == ("end",)


def test_ids_must_be_of_the_model() -> None:
    sound = Request([9], sampling=Sampling(logit_bias={9: 1.0}), logprobs=10)
    sound.check_vocabulary(10)
    for wrong in (
        replace(sound, prompt=[3, 10]),
        replace(sound, sampling=Sampling(logit_bias={10: 1.0})),
        replace(sound, logprobs=11),
    ):
        with pytest.raises(RequestError, match="10"):
            wrong.check_vocabulary(10)
