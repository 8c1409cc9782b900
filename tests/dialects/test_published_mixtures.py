"""Published configurations of mixtures of experts, and the sizes that their publishers state.

The configurations are those of the named checkpoints, without keys that say nothing about the
model, in the spelling in which they were first published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from fathom.checkpoint.naming import assign, spell
from fathom.dialects.config import Config
from fathom.dialects.dialect import FAMILIES, find
from fathom.errors import ConfigError, TensorMismatchError
from fathom.spec.classes import model_class
from fathom.spec.decoder import Decoder
from fathom.spec.parts import active, count, parameters

Values = Mapping[str, object]


@dataclass(frozen=True)
class Published:
    """A checkpoint's configuration, and its parameters in billions as its publisher says them."""

    name: str
    config: Values
    total: float
    active: float
    digits: int = 1  # to which the publisher rounds
    looks_up: bool = True  # whether the publisher counts the embedding table among the active


def _sizes(*numbers: int) -> dict[str, object]:
    keys = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
    )
    return dict(zip(keys, numbers, strict=True))


MIXTRAL = {
    "model_type": "mixtral",
    **_sizes(32000, 4096, 14336, 32, 32, 8, 32768),
    "hidden_act": "silu",
    "num_experts_per_tok": 2,
    "num_local_experts": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.02,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
OLMOE = {
    "model_type": "olmoe",
    **_sizes(50304, 2048, 1024, 16, 16, 16, 4096),
    "attention_bias": False,
    "clip_qkv": None,
    "hidden_act": "silu",
    "norm_topk_prob": False,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
QWEN_2 = {
    "model_type": "qwen2_moe",
    **_sizes(151936, 2048, 5632, 24, 16, 16, 8192),
    "decoder_sparse_step": 1,
    "hidden_act": "silu",
    "max_window_layers": 21,
    "moe_intermediate_size": 1408,
    "norm_topk_prob": False,
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "shared_expert_intermediate_size": 5632,
    "sliding_window": 32768,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
}
QWEN_3 = {
    "model_type": "qwen3_moe",
    **_sizes(151936, 2048, 6144, 48, 32, 4, 40960),
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_window_layers": 48,
    "mlp_only_layers": [],
    "moe_intermediate_size": 768,
    "norm_topk_prob": True,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
}
QWEN_3_LARGE = {
    **QWEN_3,
    **_sizes(151936, 4096, 12288, 94, 64, 4, 40960),
    "moe_intermediate_size": 1536,
}
PHI = {
    "model_type": "phimoe",
    **_sizes(32064, 4096, 6400, 32, 32, 8, 131072),
    "attention_bias": True,
    "hidden_act": "silu",
    "input_jitter_noise": 0.01,
    "lm_head_bias": True,
    "num_experts_per_tok": 2,
    "num_local_experts": 16,
    "original_max_position_embeddings": 4096,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "long_factor": [1.0 + index / 2 for index in range(64)],
        "long_mscale": 1.243163121016122,
        "original_max_position_embeddings": 4096,
        "short_factor": [1.0 + index / 64 for index in range(64)],
        "short_mscale": 1.243163121016122,
        "type": "longrope",
    },
    "rope_theta": 10000.0,
    "router_jitter_noise": 0.01,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
}
DBRX = {
    "model_type": "dbrx",
    "attn_config": {"clip_qkv": 8, "kv_n_heads": 8, "model_type": "", "rope_theta": 500000},
    "d_model": 6144,
    "emb_pdrop": 0.0,
    "ffn_config": {
        "ffn_hidden_size": 10752,
        "model_type": "",
        "moe_jitter_eps": 0.01,
        "moe_loss_weight": 0.05,
        "moe_num_experts": 16,
        "moe_top_k": 4,
    },
    "max_seq_len": 32768,
    "n_heads": 48,
    "n_layers": 40,
    "resid_pdrop": 0.0,
    "tie_word_embeddings": False,
    "vocab_size": 100352,
}
ERNIE = {
    "model_type": "ernie4_5_moe",
    **_sizes(103424, 2560, 12288, 28, 20, 4, 131072),
    "hidden_act": "silu",
    "moe_capacity": [64, 64, 64],
    "moe_gate": "topk",
    "moe_intermediate_size": 1536,
    "moe_k": 6,
    "moe_layer_end_index": 27,
    "moe_layer_interval": 1,
    "moe_layer_start_index": 1,
    "moe_num_experts": 64,
    "moe_num_shared_experts": 2,
    "moe_use_aux_free": True,
    "num_nextn_predict_layers": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "use_bias": False,
}
LLAMA_4 = {
    "model_type": "llama4_text",
    **_sizes(202048, 5120, 8192, 48, 40, 8, 10485760),
    "attention_bias": False,
    "attention_chunk_size": 8192,
    "head_dim": 128,
    "hidden_act": "silu",
    "interleave_moe_layer_step": 1,
    "intermediate_size_mlp": 16384,
    "num_experts_per_tok": 1,
    "num_local_experts": 16,
    "no_rope_layers": [],
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "use_qk_norm": True,
}
GPT_OSS = {
    "model_type": "gpt_oss",
    **_sizes(201088, 2880, 2880, 24, 64, 8, 131072),
    "attention_bias": True,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "initial_context_length": 4096,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "num_experts_per_tok": 4,
    "num_local_experts": 32,
    "quantization_config": {"quant_method": "mxfp4"},
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
}
GPT_OSS_LARGE = {
    **GPT_OSS,
    "num_hidden_layers": 36,
    "num_local_experts": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
}
HUNYUAN = {
    "model_type": "hunyuan_v1_moe",
    **_sizes(128167, 4096, 3072, 32, 32, 8, 32768),
    "attention_bias": False,
    "attention_head_dim": 128,
    "cla_share_factor": 2,
    "hidden_act": "silu",
    "mlp_bias": False,
    "moe_drop_tokens": False,
    "moe_intermediate_size": [3072] * 32,
    "moe_layer_num_skipped": 0,
    "moe_topk": [8] * 32,
    "norm_topk_prob": True,
    "num_experts": 64,
    "num_shared_expert": [1] * 32,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "alpha": 1000.0,
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "type": "dynamic",
    },
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "use_cla": False,
    "use_mixed_mlp_moe": True,
    "use_qk_norm": True,
}
GRANITE = {
    "model_type": "granitemoe",
    **_sizes(49155, 1024, 512, 24, 16, 8, 4096),
    "attention_bias": False,
    "attention_multiplier": 0.015625,
    "embedding_multiplier": 12.0,
    "hidden_act": "silu",
    "logits_scaling": 6.0,
    "num_experts_per_tok": 8,
    "num_local_experts": 32,
    "residual_multiplier": 0.22,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000,
    "tie_word_embeddings": True,
}
YARN = {"beta_fast": 32, "beta_slow": 1, "factor": 40, "type": "yarn"}
DEEPSEEK_2_LITE = {
    "model_type": "deepseek_v2",
    **_sizes(102400, 2048, 10944, 27, 16, 16, 163840),
    "attention_bias": False,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "kv_lora_rank": 512,
    "moe_intermediate_size": 1408,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "norm_topk_prob": False,
    "num_experts_per_tok": 6,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        **YARN,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096,
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 1.0,
    "scoring_func": "softmax",
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "greedy",
    "v_head_dim": 128,
}
DEEPSEEK_2 = {
    **DEEPSEEK_2_LITE,
    **_sizes(102400, 5120, 12288, 60, 128, 128, 163840),
    "moe_intermediate_size": 1536,
    "n_group": 8,
    "n_routed_experts": 160,
    "q_lora_rank": 1536,
    "routed_scaling_factor": 16.0,
    "topk_group": 3,
    "topk_method": "group_limited_greedy",
}
DEEPSEEK_3 = {
    **DEEPSEEK_2_LITE,
    "model_type": "deepseek_v3",
    **_sizes(129280, 7168, 18432, 61, 128, 128, 163840),
    "ep_size": 1,
    "first_k_dense_replace": 3,
    "moe_intermediate_size": 2048,
    "n_group": 8,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_experts_per_tok": 8,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    },
    "rope_scaling": {
        **YARN,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
    },
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "topk_group": 4,
    "topk_method": "noaux_tc",
}
GROK = {
    "model_type": "grok-1",
    **_sizes(131072, 6144, 32768, 64, 48, 8, 8192),
    "attn_output_multiplier": 0.08838834764831845,
    "embedding_multiplier_scale": 78.38367176906169,
    "max_attn_value": 30.0,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "output_multiplier_scale": 0.5773502691896257,
    "rms_norm_eps": 1e-05,
}


PUBLISHED = (
    Published("Grok-1", GROK, 316, 84, digits=0),  # stated as 314 B, a quarter of it active
    Published("Mixtral-8x7B", MIXTRAL, 46.70, 12.88, digits=2),
    Published("OLMoE-1B-7B", OLMOE, 6.9, 1.3),
    Published("Qwen1.5-MoE-A2.7B", QWEN_2, 14.3, 2.7),
    Published("Qwen3-30B-A3B", QWEN_3, 30.5, 3.3),
    Published("Qwen3-235B-A22B", QWEN_3_LARGE, 235, 22, digits=0),
    Published("Phi-3.5-MoE", PHI, 41.9, 6.6),
    Published("DBRX", DBRX, 132, 36, digits=0),
    Published("ERNIE-4.5-21B-A3B", ERNIE, 22, 3, digits=0),
    Published("Llama-4-Scout", LLAMA_4, 108, 17, digits=0),
    Published("gpt-oss-20b", GPT_OSS, 20.91, 3.61, digits=2, looks_up=False),
    Published("gpt-oss-120b", GPT_OSS_LARGE, 116.83, 5.13, digits=2, looks_up=False),
    Published("Hunyuan-A13B", HUNYUAN, 80, 13, digits=0),
    Published("granite-3.0-1b-a400m", GRANITE, 1.3, 0.4),
    Published("DeepSeek-V2-Lite", DEEPSEEK_2_LITE, 15.7, 2.4, looks_up=False),
    Published("DeepSeek-V2", DEEPSEEK_2, 236, 21, digits=0),
    Published("DeepSeek-V3", DEEPSEEK_3, 671, 37, digits=0),
)


def _read(config: Values) -> Decoder:
    spec = find(str(config["model_type"])).read(Config(config))
    assert isinstance(spec, Decoder)
    return spec


def test_every_dialect_with_experts_has_a_published_model() -> None:
    shown = {str(case.config["model_type"]) for case in PUBLISHED}
    files = {FAMILIES[model_type] for model_type in shown}
    mixtures = {
        FAMILIES[name]
        for name in FAMILIES
        if any(word in FAMILIES[name] for word in ("moe", "mix", "deepseek", "gpt_oss", "grok"))
    }
    assert mixtures <= files


@pytest.mark.parametrize("case", PUBLISHED, ids=[case.name for case in PUBLISHED])
def test_parameters_are_as_many_as_the_publisher_says(case: Published) -> None:
    spec = _read(case.config)
    step = 10.0**-case.digits  # publishers round up and down as they like
    assert abs(count(spec) / 1e9 - case.total) <= step
    passed = active(spec)
    if not case.looks_up:
        passed -= spec.vocabulary * spec.width
    assert abs(passed / 1e9 - case.active) <= step
    assert model_class(spec)[0] == "MoE"


def test_a_token_of_mixtral_passes_two_experts_of_eight() -> None:
    spec = _read(MIXTRAL)
    assert count(spec) == 46_702_792_704
    expert = 3 * 4096 * 14336
    assert active(spec) == count(spec) - 32 * 6 * expert


def test_deepseek_keeps_one_narrow_key_per_token() -> None:
    """576 numbers per token and layer, as its paper says, where heads would need 32,768."""
    spec = _read(DEEPSEEK_3)
    (kept,) = spec.layers[0].mixer.state(context=1)
    assert kept.elements == 512 + 64


@pytest.mark.parametrize(
    ("config", "further"),
    [
        (DEEPSEEK_3, "model.layers.61.mlp.experts.3.up_proj.weight"),
        (DEEPSEEK_3, "model.layers.61.eh_proj.weight"),
        (ERNIE, "model.mtp_block.0.mlp.up_proj.weight"),
    ],
)
def test_what_predicts_further_tokens_is_left_out(config: Values, further: str) -> None:
    """The parts of training that the published files keep; a stray tensor is still refused."""
    spec = _read(config)

    rules = find(str(config["model_type"])).rules(spec)
    wanted = {parameter.name: parameter.shape for parameter in parameters(spec)}
    names = [name for found in spell(rules, wanted) for name in found.theirs]
    assert len(assign(rules, [*names, further], wanted)) == len(assign(rules, names, wanted))
    with pytest.raises(TensorMismatchError):
        assign(rules, [*names, "model.layers.1.stray.weight"], wanted)


REFUSED: tuple[tuple[Values, Values], ...] = (
    (MIXTRAL, {"num_experts_per_tok": 9}),
    (MIXTRAL, {"hidden_act": "swigloo"}),
    (PHI, {"num_experts_per_tok": 3}),
    (
        DBRX,
        {"ffn_config": {"moe_num_experts": 4, "moe_top_k": 2, "moe_normalize_expert_weights": 2}},
    ),
    (ERNIE, {"use_bias": True}),
    (LLAMA_4, {"layer_types": ["sliding_attention"] * 48}),
    (LLAMA_4, {"attention_chunk_size": None}),
    (GPT_OSS, {"sliding_window": None}),
    (GPT_OSS, {"hidden_act": "gelu"}),
    (HUNYUAN, {"use_cla": True}),
    (HUNYUAN, {"moe_topk": [8] * 3}),
    (HUNYUAN, {"rope_scaling": {"type": "linear", "alpha": 10.0}}),
    (DEEPSEEK_2, {"norm_topk_prob": True}),
    (DEEPSEEK_2, {"topk_method": "noaux_tc"}),
    (DEEPSEEK_2, {"topk_group": 9}),
    (DEEPSEEK_3, {"scoring_func": "softmax"}),
    (DEEPSEEK_3, {"moe_layer_freq": 2}),
    (DEEPSEEK_3, {"n_group": 7}),
)


@pytest.mark.parametrize(("config", "change"), REFUSED)
def test_what_is_not_known_is_refused_by_its_key(config: Values, change: Values) -> None:
    """Each twin without the change is accepted above."""
    with pytest.raises(ConfigError) as refusal:
        _read({**config, **change})
    named = {"n_group": "groups", "topk_group": "groups", "use_bias": "use_bias"}
    key = next(iter(change))
    nested = {"ffn_config": "moe_normalize_expert_weights", "sliding_window": "sliding"}
    assert {**named, **nested}.get(key, key) in str(refusal.value)
