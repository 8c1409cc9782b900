"""How GGUF spells mixtures of experts: keys, constants of ggml's own graphs, tensor names.

Sources: the ``gguf`` package's constants, ggml's converters and model graphs.
"""

from __future__ import annotations

from collections.abc import Mapping

from fathom.dialects.gguf_spelling import Shapes, Spelling
from fathom.dialects.rules import Rule, rename
from fathom.errors import ConfigError

_LOCAL = {
    "expert_count": "num_local_experts",
    "expert_used_count": "num_experts_per_tok",
}
_COUNTED = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
}
_WINDOWED = {"attention.sliding_window": "sliding_window"}

SIGMOID = 2  # GGUF's number of that way to score experts
PUBLISHED_GROUPS = {160: (8, 3), 256: (8, 4)}  # DeepSeek-V2's and V3's, by their experts


def _mixtral(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return Mixtral's type for files that GGUF calls llama and that hold experts."""
    return {"model_type": "mixtral"} if "num_local_experts" in config else {}


def _qwen2(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    return {"qkv_bias": "blk.0.attn_q.bias" in shapes}


def _phi(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    return {"lm_head_bias": "output.bias" in shapes}


def _dbrx(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return DBRX's two sections."""
    attention = ("kv_n_heads", "clip_qkv", "rope_theta")
    experts = ("ffn_hidden_size", "moe_num_experts", "moe_top_k")
    return {
        "attn_config": {key: config[key] for key in attention if key in config},
        "ffn_config": {key: config[key] for key in experts if key in config},
    }


def _ernie(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    return {"use_bias": "blk.0.attn_q.bias" in shapes}


def _llama4(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return whether queries are normed: in Scout, and not in Maverick of 128 experts."""
    return {"use_qk_norm": config.get("num_local_experts") != 128}


def _gpt_oss(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return the scaling law with what its publisher says and GGUF cannot: no rounded ramp."""
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, Mapping):
        return {}
    return {"rope_scaling": {**scaling, "truncate": False}}


def _deepseek(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return DeepSeek's generation, by how it scores experts, its head widths and groups.

    Files of before 2025-04 state whole keys of a head, later ones the latent's, and a head's
    apart. Groups of experts are the published ones where a file says nothing of them.
    """
    turned, experts = config.get("qk_rope_head_dim"), config.get("n_routed_experts")
    key = config.get("key_length_mla", config.get("head_dim"))
    if not isinstance(key, int) or not isinstance(turned, int):
        raise ConfigError(
            "GGUF's deepseek2 file states no attention.key_length or rope dimensions; take one that"
            " was converted by a later llama.cpp"
        )
    third = config.get("expert_gating_func") == SIGMOID
    groups = PUBLISHED_GROUPS.get(experts, (1, 1)) if isinstance(experts, int) else (1, 1)
    count = config.get("n_group", groups[0])
    second = "greedy" if count == 1 else "group_limited_greedy"
    return {
        "model_type": "deepseek_v3" if third else "deepseek_v2",
        "topk_method": "noaux_tc" if third else second,
        "scoring_func": "sigmoid" if third else "softmax",
        "norm_topk_prob": bool(config.get("norm_topk_prob", third)),
        "n_group": count,
        "topk_group": config.get("topk_group", groups[1]),
        "qk_nope_head_dim": key - turned,
        "v_head_dim": config.get("value_length_mla", config.get("v_head_dim")),
        **_deepseek_law(config),
    }


def _deepseek_law(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return YaRN's law with its two factors, of which GGUF keeps a tenth of one.

    All published models state both factors alike.
    """
    scaling, tenth = config.get("rope_scaling"), config.get("yarn_log_multiplier")
    if not isinstance(scaling, Mapping) or not isinstance(tenth, float):
        return {}
    weight = round(tenth * 10, 6)
    return {"rope_scaling": {**scaling, "mscale": weight, "mscale_all_dim": weight}}


def _grok(config: Mapping[str, object], shapes: Shapes) -> Mapping[str, object]:
    """Return Grok-1's published numbers where an older file says nothing of them."""
    published = {
        "attn_output_multiplier": 0.08838834764831845,
        "max_attn_value": 30.0,
        "embedding_multiplier_scale": 78.38367176906169,
        "output_multiplier_scale": 0.5773502691896257,
    }
    return {key: config.get(key, value) for key, value in published.items()}


SPELLINGS: Mapping[str, Spelling] = {
    "llama": Spelling("llama", _LOCAL, derive=_mixtral, also=("mixtral",)),
    "olmoe": Spelling(
        "olmoe",
        {**_COUNTED, "attention.clamp_kqv": "clip_qkv"},
        constants={"norm_topk_prob": False},
    ),
    "qwen2moe": Spelling("qwen2_moe", _COUNTED, constants={"norm_topk_prob": False}, derive=_qwen2),
    "qwen3moe": Spelling("qwen3_moe", {**_COUNTED, **_LOCAL}, constants={"norm_topk_prob": True}),
    "phimoe": Spelling("phimoe", _LOCAL, derive=_phi),
    "dbrx": Spelling(
        "dbrx",
        {
            "context_length": "max_seq_len",
            "embedding_length": "d_model",
            "block_count": "n_layers",
            "attention.head_count": "n_heads",
            "attention.head_count_kv": "kv_n_heads",
            "attention.clamp_kqv": "clip_qkv",
            "feed_forward_length": "ffn_hidden_size",
            "expert_count": "moe_num_experts",
            "expert_used_count": "moe_top_k",
        },
        derive=_dbrx,
    ),
    "ernie4_5-moe": Spelling(
        "ernie4_5_moe",
        {
            "expert_count": "moe_num_experts",
            "expert_used_count": "moe_k",
            "expert_feed_forward_length": "moe_intermediate_size",
            "expert_shared_count": "moe_num_shared_experts",
            "interleave_moe_layer_step": "moe_layer_interval",
            "leading_dense_block_count": "moe_layer_start_index",
        },
        derive=_ernie,
    ),
    "llama4": Spelling(
        "llama4_text",
        {
            **_LOCAL,
            "feed_forward_length": "intermediate_size_mlp",
            "expert_feed_forward_length": "intermediate_size",
            "interleave_moe_layer_step": "interleave_moe_layer_step",
        },
        constants={
            "attention_chunk_size": 8192,
            "no_rope_layer_interval": 4,
            "floor_scale": 8192,
            "attn_scale": 0.1,
        },
        derive=_llama4,
    ),
    "gpt-oss": Spelling("gpt_oss", {**_LOCAL, **_WINDOWED}, derive=_gpt_oss),
    "hunyuan-moe": Spelling(
        "hunyuan_v1_moe",
        {
            "expert_count": "num_experts",
            "expert_used_count": "moe_topk",
            "expert_feed_forward_length": "moe_intermediate_size",
        },
    ),
    "hunyuan-dense": Spelling("hunyuan_v1_dense"),
    "granitemoe": Spelling(
        "granitemoe",
        {
            **_LOCAL,
            "attention.scale": "attention_multiplier",
            "embedding_scale": "embedding_multiplier",
            "residual_scale": "residual_multiplier",
            "logit_scale": "logits_scaling",
        },
    ),
    "grok": Spelling(
        "grok-1",
        {
            "expert_count": "num_experts",
            "expert_used_count": "num_experts_per_tok",
            "attention.output_scale": "attn_output_multiplier",
            "attn_logit_softcapping": "max_attn_value",
            "embedding_scale": "embedding_multiplier_scale",
            "logit_scale": "output_multiplier_scale",
        },
        derive=_grok,
    ),
    "deepseek2": Spelling(
        "deepseek_v2",
        {
            "attention.q_lora_rank": "q_lora_rank",
            "attention.kv_lora_rank": "kv_lora_rank",
            "attention.key_length_mla": "key_length_mla",
            "attention.value_length_mla": "value_length_mla",
            "attention.value_length": "v_head_dim",
            "rope.dimension_count": "qk_rope_head_dim",
            "rope.scaling.yarn_log_multiplier": "yarn_log_multiplier",
            "leading_dense_block_count": "first_k_dense_replace",
            "expert_count": "n_routed_experts",
            "expert_used_count": "num_experts_per_tok",
            "expert_feed_forward_length": "moe_intermediate_size",
            "expert_shared_count": "n_shared_experts",
            "expert_group_count": "n_group",
            "expert_group_used_count": "topk_group",
            "expert_weights_scale": "routed_scaling_factor",
            "expert_weights_norm": "norm_topk_prob",
            "expert_gating_func": "expert_gating_func",
        },
        derive=_deepseek,
        also=("deepseek_v3",),
    ),
}

_THEIRS, _OURS = "blk.{layer}", "layers.{layer}.feed_forward"

TENSORS: tuple[Rule, ...] = (
    rename(f"{_THEIRS}.attn_sinks.weight", "layers.{layer}.mixer.sinks"),
    rename(f"{_THEIRS}.ffn_gate_inp", f"{_OURS}.router.scores"),
    rename(f"{_THEIRS}.exp_probs_b.bias", f"{_OURS}.router.correction"),
    *(
        rename(f"{_THEIRS}.ffn_{part}_{theirs}", f"{_OURS}.{ours}.{part}")
        for theirs, ours in (("exps", "experts"), ("shexp", "shared"))
        for part in ("gate", "up", "down")
    ),
)
