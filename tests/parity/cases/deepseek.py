"""DeepSeek-V2 and V3."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 10,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}
SECOND = {**SMALL, "topk_method": "greedy"}
GROUPED = {**SMALL, "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}
THIRD = {**SMALL, "n_group": 4, "topk_group": 2, "num_nextn_predict_layers": 1}


def _stretched(base: dict[str, object], **law: object) -> dict[str, object]:
    """A model stretched to four times the 16 positions that it was made for."""
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, **law}
    rope["original_max_position_embeddings"] = 16
    return {**base, "rope_parameters": rope}


# What a converter works out: keys of the latent, a head's own apart.
ABSORBED = {"attention.key_length": 24, "attention.key_length_mla": 20}
ABSORBED |= {"attention.value_length_mla": 10}

CASES = [
    Case("deepseek_v2", "plain", SECOND, gguf="ours", gguf_keys=ABSORBED),
    Case("deepseek_v2", "lite", {**SECOND, "q_lora_rank": None, "n_shared_experts": 1}),
    Case("deepseek_v2", "grouped", {**GROUPED, "routed_scaling_factor": 3.0}),
    Case("deepseek_v2", "biases", {**SECOND, "attention_bias": True, "mlp_bias": True}),
    Case(
        "deepseek_v2",
        "all-sparse-tied",
        {
            **SECOND,
            "first_k_dense_replace": 0,
            "tie_word_embeddings": True,
        },
    ),
    Case("deepseek_v2", "yarn", _stretched(SECOND, mscale=0.7, mscale_all_dim=0.7), length=40),
    Case(
        "deepseek_v3", "plain", THIRD, gguf="ours", gguf_keys={**ABSORBED, "expert_gating_func": 2}
    ),
    Case("deepseek_v3", "one-group", {**THIRD, "n_group": 1, "topk_group": 1}),
    Case("deepseek_v3", "unnormalised", {**THIRD, "norm_topk_prob": False, "q_lora_rank": None}),
    Case("deepseek_v3", "halves", {**THIRD, "rope_interleave": False, "attention_bias": True}),
    Case("deepseek_v3", "yarn", _stretched(THIRD, mscale=1.0, mscale_all_dim=1.0), length=40),
    Case("deepseek_v3", "yarn-two-scales", _stretched(THIRD, mscale=1.5, mscale_all_dim=0.8)),
    # A wide latent beside narrow heads: long steps are then cheaper by reading off all keys.
    Case("deepseek_v3", "wide-latent", {**THIRD, "kv_lora_rank": 96}, length=40),
]
