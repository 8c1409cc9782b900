"""DBRX."""

from parity.case import Case


def _config(attention: dict[str, object], experts: dict[str, object]) -> dict[str, object]:
    return {
        "d_model": 48,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 64,
        "vocab_size": 99,
        # The reference cannot run without a bound; 8 is the published one.
        "attn_config": {"kv_n_heads": 2, "rope_theta": 500.0, "clip_qkv": 8.0, **attention},
        "ffn_config": {
            "ffn_hidden_size": 32,
            "moe_num_experts": 6,
            "moe_top_k": 3,
            **experts,
        },
    }


CASES = [
    Case("dbrx", "plain", _config({}, {})),
    Case(
        "dbrx",
        "clipped",
        _config({"clip_qkv": 0.5}, {}),
        gguf="ours",
        gguf_keys={
            "attention.head_count_kv": 2,
            "attention.clamp_kqv": 0.5,
            "feed_forward_length": 32,
            "expert_count": 6,
            "expert_used_count": 3,
        },
    ),
    Case("dbrx", "unnormalised", _config({}, {"moe_normalize_expert_weights": None})),
    Case("dbrx", "gelu", _config({"kv_n_heads": 4}, {"ffn_act_fn": {"name": "gelu"}})),
]
