"""What an adapter's files say, and what they may not; every refusal beside what is accepted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.checkpoint import adapter_config
from fathom.checkpoint.adapter_config import read_settings
from fathom.checkpoint.adapters import read_adapter, stands_alone
from fathom.errors import ConfigError, FathomError, ModelFileError, NotFoundError
from fathom.errors import TensorMismatchError as Mismatch

MODULE = "model.layers.0.self_attn.q_proj"
NAME = f"base_model.model.{MODULE}"
TENSORS: Mapping[str, tuple[int, ...]] = {
    f"{NAME}.lora_A.weight": (4, 16),
    f"{NAME}.lora_B.weight": (8, 4),
}
# As peft 0.21 writes it.
CONFIG: Mapping[str, object] = {
    "auto_mapping": {
        "base_model_class": "LlamaForCausalLM",
        "parent_library": "transformers.models.llama.modeling_llama",
    },
    "base_model_name_or_path": "owner/base",
    "bias": "none",
    "fan_in_fan_out": False,
    "init_lora_weights": True,
    "lora_alpha": 8,
    "loftq_config": {},
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": 4,
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_modules": ["q_proj"],
    "use_dora": False,
    "use_rslora": False,
}


def write(
    folder: Path, tensors: Mapping[str, tuple[int, ...]] = TENSORS, **changed: object
) -> Path:
    """Write an adapter whose numbers are all zero."""
    header, end = {}, 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    file = folder / "adapter_model.safetensors"
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(end))
    (folder / adapter_config.FILE).write_text(json.dumps({**CONFIG, **changed}))
    return folder


def test_a_plain_adapter_is_understood(tmp_path: Path) -> None:
    found = read_adapter(write(tmp_path))
    assert found.base == "owner/base"
    (change,) = found.changes
    assert (change.tensor, change.rank, change.scale) == (f"{MODULE}.weight", 4, 2.0)
    assert (change.down, change.up) == tuple(TENSORS)
    assert not found.replacements
    assert found.targets == ("q_proj",)
    assert found.elements == 4 * 16 + 8 * 4


SCALES: Mapping[str, tuple[Mapping[str, object], float]] = {
    "root": ({"use_rslora": True}, 4.0),
    "half": ({"lora_alpha": 2.0}, 0.5),
    "none": ({"lora_alpha": 0}, 0.0),
    "pattern": ({"alpha_pattern": {"k_proj": 40, "q_proj": 12}}, 3.0),
    "first pattern": ({"alpha_pattern": {"self_attn.q_proj": 20, "q_proj": 12}}, 5.0),
    "whole name": ({"alpha_pattern": {f"^{MODULE}$": 4}}, 1.0),
    "escaped": ({"alpha_pattern": {r"layers\.0\.self_attn\.q_proj": 4}}, 1.0),
    "not the whole name": ({"alpha_pattern": {"^q_proj": 4}}, 2.0),
    "not the end of a word": ({"alpha_pattern": {"_proj": 4}}, 2.0),
}


@pytest.mark.parametrize("case", SCALES)
def test_a_change_is_scaled_as_peft_scales_it(tmp_path: Path, case: str) -> None:
    changed, scale = SCALES[case]
    assert read_adapter(write(tmp_path, **changed)).changes[0].scale == scale


UNSAFE: Mapping[str, Mapping[str, object]] = {
    "a library to import": {"auto_mapping": {"parent_library": "os"}},
    "one that looks right": {"auto_mapping": {"parent_library": "transformersx.models"}},
    "a megatron configuration": {"megatron_config": {"tensor_model_parallel_size": 1}},
    "a megatron of its own": {"megatron_core": "evil"},
}


@pytest.mark.parametrize("case", UNSAFE)
def test_code_that_a_configuration_names_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(ModelFileError, match="E_UNSAFE_CODE"):
        read_adapter(write(tmp_path, **UNSAFE[case]))


INNOCENT: Mapping[str, Mapping[str, object]] = {
    "no mapping": {"auto_mapping": None},
    "a trainer's mark": {"auto_mapping": {"parent_library": "transformers.x", "unsloth": True}},
    "code of the base's own": {"auto_mapping": {"parent_library": "transformers_modules.x.y"}},
    "keys of the tokenizer": {"tokenizer_kwargs": {"trust_remote_code": True}},
    "how training began": {"init_lora_weights": "gaussian"},
    "dropout": {"lora_dropout": 0.3},
    "a key of tomorrow": {"something_new": 3},
    "a pattern as the target": {"target_modules": r"(a+)+$"},
    "all": {"target_modules": "all-linear"},
    "no targets": {"target_modules": None},
    "an expression of ranks": {"rank_pattern": {"(a+)+q": 4}},
    "all biases": {"bias": "all"},
}


@pytest.mark.parametrize("case", INNOCENT)
def test_what_changes_nothing_is_passed_over(tmp_path: Path, case: str) -> None:
    found = read_adapter(write(tmp_path, **INNOCENT[case]))
    assert found.changes == read_adapter(write(tmp_path)).changes


WRONG: Mapping[str, Mapping[str, object]] = {
    "another kind": {"peft_type": "IA3"},
    "no kind": {"peft_type": None},
    "no rank": {"r": None},
    "rank 0": {"r": 0},
    "a negative rank": {"r": -4},
    "a huge rank": {"r": 10**6},
    "half a rank": {"r": 3.5},
    "no alpha": {"lora_alpha": None},
    "alpha in words": {"lora_alpha": "8"},
    "an unknown bias": {"bias": "some"},
    "an expression of alphas": {"alpha_pattern": {"(a+)+q": 4}},
    "patterns as a list": {"alpha_pattern": [4]},
    "targets that are numbers": {"target_modules": [7]},
    "a base changed in secret": {"init_lora_weights": "pissa"},
    "a base that is a number": {"base_model_name_or_path": 7},
}


@pytest.mark.parametrize("case", WRONG)
def test_configurations_out_of_range_are_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(ConfigError, match=r"adapter_config\.json"):
        read_adapter(write(tmp_path, **WRONG[case]))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e999"])
def test_an_alpha_that_is_no_number_is_refused(tmp_path: Path, literal: str) -> None:
    file = write(tmp_path) / adapter_config.FILE
    file.write_text(file.read_text().replace('"lora_alpha": 8', f'"lora_alpha": {literal}'))
    with pytest.raises((ConfigError, ModelFileError)):
        read_adapter(tmp_path)


@pytest.mark.parametrize("key", adapter_config.REFUSED)
def test_kinds_that_compute_something_else_are_refused(tmp_path: Path, key: str) -> None:
    for unset in (None, False, {}, []):
        assert read_adapter(write(tmp_path, **{key: unset})).changes
    for value in (True, {"a": 1}, [1]):
        with pytest.raises(ConfigError, match=key):
            read_adapter(write(tmp_path, **{key: value}))


A, B = TENSORS
CONTRADICTIONS: Mapping[str, tuple[Mapping[str, tuple[int, ...]], Mapping[str, object], str]] = {
    "nothing": ({}, {}, "no lora_A and lora_B"),
    "half": ({A: (4, 16)}, {}, r"\['A'\] of the factors"),
    "ranks apart": ({A: (4, 16), B: (8, 5)}, {}, r"\[4, 16\] and \[8, 5\]"),
    "not matrices": ({A: (4, 16, 1), B: (8, 4)}, {}, r"\[4, 16, 1\]"),
    "another rank": (TENSORS, {"r": 8}, "rank 4, not as"),
    "another rank by pattern": (TENSORS, {"rank_pattern": {"q_proj": 2}}, "rank 4, not as"),
    "no target": (TENSORS, {"target_modules": ["k_proj"]}, "not among 'target_modules'"),
    "part of a word": (TENSORS, {"target_modules": ["_proj"]}, "not among 'target_modules'"),
    "no magnitude": (TENSORS, {"use_dora": True}, "has no magnitude"),
    "a magnitude": (
        {**TENSORS, f"{NAME}.lora_magnitude_vector": (8,)},
        {},
        "has a magnitude, 'use_dora' is False",
    ),
    "biases of factors": ({**TENSORS, f"{NAME}.lora_B.bias": (8,)}, {"lora_bias": True}, "lora_b"),
    "two adapters": (
        {**TENSORS, f"{NAME}.lora_A.other.weight": (4, 16)},
        {},
        "several adapters",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_files_that_contradict_one_another_are_refused(tmp_path: Path, case: str) -> None:
    tensors, changed, complaint = CONTRADICTIONS[case]
    with pytest.raises((Mismatch, ConfigError), match=complaint):
        read_adapter(write(tmp_path, tensors, **changed))


def test_other_ranks_are_read_from_their_pattern(tmp_path: Path) -> None:
    found = read_adapter(write(tmp_path, r=16, rank_pattern={"q_proj": 4}, lora_alpha=2))
    assert (found.changes[0].rank, found.changes[0].scale) == (4, 0.5)


def test_whole_modules_are_told_from_a_wrapped_base(tmp_path: Path) -> None:
    tensors = {
        **TENSORS,
        "base_model.model.lm_head.weight": (9, 16),
        "base_model.model.model.norm.modules_to_save.default.weight": (16,),
        f"{NAME}.base_layer.bias": (8,),
        "base_model.model.model.layers.0.self_attn.k_proj.bias": (8,),
    }
    found = read_adapter(write(tmp_path, tensors, modules_to_save=["lm_head", "norm"]))
    assert {(r.tensor, r.own) for r in found.replacements} == {
        ("lm_head.weight", True),
        ("model.norm.weight", True),
        (f"{MODULE}.bias", False),
        ("model.layers.0.self_attn.k_proj.bias", False),
    }
    assert found.targets == ("q_proj",)


def test_a_narrowed_adapter_promises_nothing(tmp_path: Path) -> None:
    for narrowed in ({"layers_to_transform": [0]}, {"exclude_modules": ["o_proj"]}):
        assert read_adapter(write(tmp_path, **narrowed)).targets == ()
    assert read_adapter(write(tmp_path, layers_to_transform=None)).targets == ("q_proj",)


def test_a_base_of_the_hub_has_its_revision(tmp_path: Path) -> None:
    assert read_adapter(write(tmp_path, revision="abc")).base == "owner/base@abc"
    assert read_adapter(write(tmp_path, base_model_name_or_path=None)).base is None
    assert read_adapter(write(tmp_path, base_model_name_or_path="")).base is None


def test_a_pickled_adapter_is_refused_unless_allowed(tmp_path: Path) -> None:
    import torch

    (write(tmp_path) / "adapter_model.safetensors").unlink()
    tensors = {name: torch.zeros(shape) for name, shape in TENSORS.items()}
    torch.save(tensors, tmp_path / "adapter_model.bin")
    with pytest.raises(ModelFileError, match="--allow-pickle"):
        read_adapter(tmp_path)
    assert read_adapter(tmp_path, allow_pickle=True).changes[0].rank == 4


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"adapter_config\.json"):
        read_adapter(tmp_path)
    (write(tmp_path) / "adapter_model.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"adapter_model\.safetensors"):
        read_adapter(tmp_path)
    with pytest.raises(NotFoundError, match="folder"):
        read_adapter(tmp_path / adapter_config.FILE)


def test_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    file = write(tmp_path / "a") / "adapter_model.safetensors"
    file.rename(tmp_path / "b" / "other")
    file.symlink_to(tmp_path / "b" / "other")
    with pytest.raises(ModelFileError, match="E_PATH"):
        read_adapter(tmp_path / "a")


def test_an_adapter_is_told_from_a_model_that_has_one_beside_it(tmp_path: Path) -> None:
    assert not stands_alone(tmp_path)
    write(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "training_args.bin").write_bytes(b"")
    assert stands_alone(tmp_path)
    for name in ("model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"")
        assert not stands_alone(tmp_path)
        (tmp_path / name).unlink()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(changed=st.dictionaries(st.sampled_from(sorted(CONFIG)), values, max_size=4))
def test_any_configuration_is_understood_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("adapter")
    (folder / adapter_config.FILE).write_text(json.dumps({**CONFIG, **changed}))
    try:
        settings = read_settings(folder)
    except FathomError as error:
        assert "\n" not in str(error)
    else:
        assert settings.rank > 0
        assert math.isfinite(settings.scale(MODULE, settings.rank))
