"""Configurations from strangers: typed, bounded, and never believed blindly."""

from __future__ import annotations

import math

import pytest

from fathom.dialects.config import ACTIVATIONS, Config
from fathom.dialects.dialect import FAMILIES, find, known
from fathom.dialects.rotary import read_rotary
from fathom.errors import ConfigError, UnknownArchitectureError

GOOD = {
    "model_type": "llama",
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def test_the_good_twin_is_read() -> None:
    spec = find("llama").read(Config(GOOD))
    assert spec.width == 48
    assert len(spec.layers) == 2


@pytest.mark.parametrize(
    "value", [0, -1, 2**31 + 1, 1.5, math.nan, math.inf, "64", True, [], {}], ids=repr
)
@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "vocab_size"])
def test_dimensions_are_positive_whole_numbers(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"'{key}' must be a whole number"):
        find("llama").read(Config({**GOOD, key: value}))


def test_too_many_layers_are_refused_before_anything_is_made() -> None:
    with pytest.raises(ConfigError, match="num_hidden_layers"):
        find("llama").read(Config({**GOOD, "num_hidden_layers": 10**9}))


@pytest.mark.parametrize("key", [key for key in GOOD if key != "model_type"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"has no '{key}'"):
        find("llama").read(Config({k: v for k, v in GOOD.items() if k != key}))


def test_heads_must_share_evenly() -> None:
    with pytest.raises(ConfigError, match="3 key heads cannot share 4 heads"):
        find("llama").read(Config({**GOOD, "num_key_value_heads": 3}))


def test_activations_come_from_a_closed_table() -> None:
    assert Config({"act": "swish"}).activation("act") == "silu"
    for hostile in ("os.system", "__class__", "eval"):
        assert hostile not in ACTIVATIONS
        with pytest.raises(ConfigError, match="must be one of"):
            find("llama").read(Config({**GOOD, "hidden_act": hostile}))


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 0},
        {"rope_type": "linear", "factor": -2.0},
        {"rope_type": "linear", "factor": math.nan},
        {"rope_type": "linear"},
        {"rope_type": "wavy", "factor": 2.0},
        {"type": "llama3", "factor": 8.0},
    ],
    ids=str,
)
def test_scaling_laws_need_their_numbers(scaling: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        read_rotary(Config({"rope_scaling": scaling}), 16, context=64)


def test_both_spellings_of_rotary_mean_the_same() -> None:
    law = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    law |= {"original_max_position_embeddings": 32}
    old = Config({"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **law}})
    new = Config({"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", **law}})
    first, second = (read_rotary(config, 16, context=64) for config in (old, new))
    assert first == second
    assert first.base == 5e5


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UnknownArchitectureError, match="Did you mean llama"):
        find("lama")


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_row_of_the_table_leads_to_a_dialect(model_type: str) -> None:
    assert find(model_type).read is not None
    assert model_type in known()


def test_a_publishers_own_spelling_is_read_and_named() -> None:
    names = {"hidden_size": "n_embd"}
    assert Config({"n_embd": 48}).spelled(names).integer("hidden_size") == 48
    assert Config({"hidden_size": 48}).spelled(names).integer("hidden_size") == 48
    assert Config({"n_embd": None, "hidden_size": 48}).spelled(names).integer("hidden_size") == 48
    assert "hidden_size" in Config({"n_embd": 48}).spelled(names)
    with pytest.raises(ConfigError, match="'n_embd' must be"):
        Config({"n_embd": "wide"}).spelled(names).integer("hidden_size")
    with pytest.raises(ConfigError, match="no 'n_embd'"):
        Config({}).spelled(names).integer("hidden_size")
