"""What GGUF files of mixtures leave unsaid, against what their publishers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from fathom.checkpoint.naming import assign, spell
from fathom.dialects import gguf
from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts, Groups, Router
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import parameters

# Keys of DeepSeek's files, without those that all architectures share.
LATENT = {
    "attention.head_count": 4,
    "attention.kv_lora_rank": 16,
    "rope.dimension_count": 8,
    "expert_count": 8,
    "expert_used_count": 3,
    "expert_feed_forward_length": 32,
    "expert_shared_count": 1,
    "leading_dense_block_count": 1,
    "context_length": 64,
    "embedding_length": 48,
    "block_count": 2,
    "feed_forward_length": 80,
}
EARLY = {"attention.key_length": 20, "attention.value_length": 10, "attention.head_count_kv": 4}
LATE = {
    "attention.key_length": 24,
    "attention.value_length": 16,
    "attention.head_count_kv": 1,
    "attention.key_length_mla": 20,
    "attention.value_length_mla": 10,
}


def _none(name: str) -> Sequence[float]:
    raise KeyError(name)


def _read(architecture: str, keys: Mapping[str, object]) -> Decoder:
    metadata = {f"{architecture}.{key}": value for key, value in keys.items()}
    metadata["general.architecture"] = architecture
    shapes = {"token_embd.weight": (99, 48), "output.weight": (99, 48)}
    config = gguf.configuration(metadata, shapes, _none)
    spec = find(str(config["model_type"])).read(Config(config))
    assert isinstance(spec, Decoder)
    return spec


def _router(spec: Decoder) -> Router:
    part = spec.layers[-1].feed_forward
    assert isinstance(part, Experts)
    assert isinstance(part.router, Router)
    return part.router


def test_early_and_late_files_of_deepseek_describe_one_model() -> None:
    early, late = _read("deepseek2", LATENT | EARLY), _read("deepseek2", LATENT | LATE)
    assert early.mixer(LatentAttention) == late.mixer(LatentAttention)
    assert early.mixer(LatentAttention).plain_width == 12


def test_an_early_file_holds_keys_and_values_in_one_map() -> None:
    """Its one tensor per layer fills both of our maps, as the publisher's does."""
    spec = _read("deepseek2", LATENT | EARLY)
    shapes = {parameter.name: parameter.shape for parameter in parameters(spec)}
    rules = gguf.rules(find("deepseek_v2"), spec)
    late = {name for found in spell(rules, shapes) for name in found.theirs}
    early = {name for name in late if "_k_b" not in name and "_v_b" not in name}
    early |= {f"blk.{layer}.attn_kv_b.weight" for layer in range(2)}
    found = {ours: a for a in assign(rules, early, shapes) for ours in a.ours}
    published = spell(find("deepseek_v2").rules(spec), shapes)
    whole = next(a for a in published if "layers.1.mixer.key_up.weight" in a.ours)
    assert found["layers.1.mixer.value_up.weight"].steps == whole.steps


@pytest.mark.parametrize(
    ("more", "scoring", "groups"),
    [
        ({}, "softmax", None),
        ({"expert_count": 160}, "softmax", Groups(8, 3, 1)),
        ({"expert_gating_func": 2}, "sigmoid", None),
        ({"expert_gating_func": 2, "expert_count": 256}, "sigmoid", Groups(8, 4, 2)),
        (
            {"expert_gating_func": 2, "expert_group_count": 2, "expert_group_used_count": 1},
            "sigmoid",
            Groups(2, 1, 2),
        ),
    ],
)
def test_the_generation_of_deepseek_follows_from_its_router(
    more: Mapping[str, object], scoring: str, groups: Groups | None
) -> None:
    router = _router(_read("deepseek2", LATENT | LATE | more))
    assert (router.scoring, router.groups) == (scoring, groups)
    assert router.correction == (scoring == "sigmoid")


def test_yarns_factors_return_from_a_tenth_of_one() -> None:
    law = {"type": "yarn", "factor": 40.0, "original_context_length": 16}
    law |= {"yarn_log_multiplier": 0.0707}
    keys = {f"rope.scaling.{key}": value for key, value in law.items()}
    mixer = _read("deepseek2", LATENT | LATE | keys).mixer(LatentAttention)
    assert mixer.scale == pytest.approx(20**-0.5 * (0.0707 * 3.6888794541139363 + 1) ** 2)


def test_a_llama_file_with_experts_is_a_mixtral() -> None:
    keys = {key: value for key, value in LATENT.items() if "expert" not in key}
    dense = _read("llama", keys)
    sparse = _read("llama", {**keys, "expert_count": 8, "expert_used_count": 2})
    assert not isinstance(dense.layers[0].feed_forward, Experts)
    assert _router(sparse).renormalise
