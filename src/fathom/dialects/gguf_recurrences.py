"""How GGUF writes the architectures that remember by a recurrence.

ggml's converters write how wide and how many; where each kind of layer stands, and some widths,
its readers see from the tensors. So do these, one function per architecture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.dialects.gguf_spelling import Shapes, Spelling

Values = Mapping[str, object]


def _mamba(config: Values, shapes: Shapes) -> Values:
    """Return whether Mamba's convolution has a bias."""
    return {"use_conv_bias": "blk.0.ssm_conv1d.bias" in shapes}


def _mamba2(config: Values, shapes: Shapes) -> Values:
    """Return Mamba 2's channels, as a multiple of the width and per head."""
    width, inner = shapes.get("blk.0.ssm_out.weight", (0, 0))
    heads = config.get("num_heads")
    found: dict[str, object] = dict(_mamba(config, shapes))
    if width and inner % width == 0:
        found["expand"] = inner // width
    if isinstance(heads, int) and heads and inner % heads == 0:
        found["head_dim"] = inner // heads
    return found


def _jamba(config: Values, shapes: Shapes) -> Values:
    """Return which of Jamba's layers attend and which have experts, and the sizes of its Mamba."""
    attending, mixing = (
        _layers_with(shapes, "attn_q.weight"),
        _layers_with(shapes, "ssm_out.weight"),
    )
    sparse = _layers_with(shapes, "ffn_gate_inp.weight")
    found: dict[str, object] = {"attn_layers": attending, "expert_layers": sparse}
    kv_heads = config.get("num_key_value_heads")
    if isinstance(kv_heads, list):  # one number per layer, 0 where none attends
        found["num_key_value_heads"] = max(kv_heads)
    if not sparse:
        found["num_experts"] = 1
    if mixing:
        width, inner = shapes[f"blk.{mixing[0]}.ssm_out.weight"]
        found["mamba_expand"] = inner // width
        found["mamba_conv_bias"] = f"blk.{mixing[0]}.ssm_conv1d.bias" in shapes
    return found


def _qwen3_next(config: Values, shapes: Shapes) -> Values:
    """Return what mixes in each of Qwen3-Next's layers, which are dense, and a value's width."""
    count = config.get("num_hidden_layers")
    count = count if isinstance(count, int) else 0
    mixing, sparse = _layers_with(shapes, "ssm_a"), _layers_with(shapes, "ffn_gate_inp.weight")
    kinds = ["linear_attention" if i in mixing else "full_attention" for i in range(count)]
    found: dict[str, object] = {
        "layer_types": kinds,
        "mlp_only_layers": [i for i in range(count) if i not in sparse],
    }
    if mixing:
        found["linear_value_head_dim"] = shapes[f"blk.{mixing[0]}.ssm_norm.weight"][0]
    return found


def _layers_with(shapes: Shapes, tensor: str) -> Sequence[int]:
    """Return the numbers of the layers that have a tensor, in order."""
    names = (name.split(".", 2) for name in shapes)
    return sorted(int(parts[1]) for parts in names if parts[0] == "blk" and parts[2] == tensor)


_SELECTIVE = {
    "ssm.conv_kernel": "conv_kernel",
    "ssm.state_size": "state_size",
    "attention.layer_norm_rms_epsilon": "layer_norm_epsilon",
}
_CHOOSES = {"expert_count": "num_experts", "expert_used_count": "num_experts_per_tok"}

SPELLINGS: Mapping[str, Spelling] = {
    "mamba": Spelling(
        "mamba",
        {
            **_SELECTIVE,
            "ssm.inner_size": "intermediate_size",
            "ssm.time_step_rank": "time_step_rank",
            "ssm.dt_b_c_rms": "ssm_dt_b_c_rms",
        },
        derive=_mamba,
    ),
    "mamba2": Spelling(
        "mamba2",
        {**_SELECTIVE, "ssm.time_step_rank": "num_heads", "ssm.group_count": "n_groups"},
        derive=_mamba2,
    ),
    "jamba": Spelling(
        "jamba",
        {
            **_CHOOSES,
            "ssm.conv_kernel": "mamba_d_conv",
            "ssm.state_size": "mamba_d_state",
            "ssm.time_step_rank": "mamba_dt_rank",
        },
        derive=_jamba,
    ),
    "qwen3next": Spelling(
        "qwen3_next",
        {
            **_CHOOSES,
            "rope.dimension_count": "rotary_dim",
            "expert_feed_forward_length": "moe_intermediate_size",
            "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
            "ssm.conv_kernel": "linear_conv_kernel_dim",
            "ssm.state_size": "linear_key_head_dim",
            "ssm.group_count": "linear_num_key_heads",
            "ssm.time_step_rank": "linear_num_value_heads",
        },
        derive=_qwen3_next,
    ),
}
