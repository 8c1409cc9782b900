"""Published configurations of recurrences and hybrids, and the sizes that their publishers state.

The configurations are those of the named checkpoints, without keys that say nothing about the
model, in the spelling in which they were first published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from fathom.checkpoint.naming import assign
from fathom.dialects import gguf
from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.errors import ConfigError
from fathom.planning.costs import state_bytes
from fathom.spec.attention import Attention
from fathom.spec.classes import model_class
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.parts import active, count
from fathom.spec.state_space import Mamba, Recurrence

Values = Mapping[str, object]


@dataclass(frozen=True)
class Published:
    """A configuration, and what its publisher says: a number, or billions rounded."""

    config: Values
    total: float
    active: float | None = None
    kind: str = "SSM"
    tolerance: float = 0.005  # of a total that was published rounded
    active_tolerance: float = 0.01


MAMBA = {
    "model_type": "mamba",
    "conv_kernel": 4,
    "d_inner": 1536,
    "d_model": 768,
    "expand": 2,
    "fused_add_norm": True,
    "hidden_act": "silu",
    "hidden_size": 768,
    "intermediate_size": 1536,
    "layer_norm_epsilon": 1e-05,
    "n_layer": 24,
    "num_hidden_layers": 24,
    "pad_vocab_size_multiple": 8,
    "residual_in_fp32": True,
    "rms_norm": True,
    "ssm_cfg": {},
    "state_size": 16,
    "time_step_rank": 48,
    "torch_dtype": "float32",
    "use_bias": False,
    "use_conv_bias": True,
    "vocab_size": 50280,
}
FALCON = {
    "model_type": "falcon_mamba",
    "conv_kernel": 4,
    "expand": 16,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 8192,
    "layer_norm_epsilon": 1e-05,
    "num_hidden_layers": 64,
    "residual_in_fp32": True,
    "state_size": 16,
    "tie_word_embeddings": False,
    "time_step_rank": 256,
    "torch_dtype": "bfloat16",
    "use_bias": False,
    "use_conv_bias": True,
    "vocab_size": 65024,
}
CODESTRAL = {
    "model_type": "mamba2",
    "chunk_size": 256,
    "conv_kernel": 4,
    "expand": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "layer_norm_epsilon": 1e-05,
    "n_groups": 8,
    "norm_before_gate": True,
    "num_heads": 128,
    "num_hidden_layers": 64,
    "residual_in_fp32": True,
    "rms_norm": True,
    "state_size": 128,
    "tie_word_embeddings": False,
    "time_step_limit": [0.0, float("inf")],
    "time_step_rank": 256,
    "torch_dtype": "bfloat16",
    "use_bias": False,
    "use_conv_bias": True,
    "vocab_size": 32768,
}
JAMBA = {
    "model_type": "jamba",
    "attn_layer_offset": 4,
    "attn_layer_period": 8,
    "expert_layer_offset": 1,
    "expert_layer_period": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "mamba_conv_bias": True,
    "mamba_d_conv": 4,
    "mamba_d_state": 16,
    "mamba_dt_rank": 256,
    "mamba_expand": 2,
    "mamba_inner_layernorms": True,
    "mamba_proj_bias": False,
    "max_position_embeddings": 262144,
    "num_attention_heads": 32,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 65536,
}
QWEN = {
    "model_type": "qwen3_next",
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "full_attention_interval": 4,
    "head_dim": 256,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 5120,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "max_position_embeddings": 262144,
    "mlp_only_layers": [],
    "moe_intermediate_size": 512,
    "norm_topk_prob": True,
    "num_attention_heads": 16,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "num_hidden_layers": 48,
    "num_key_value_heads": 2,
    "partial_rotary_factor": 0.25,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000000,
    "shared_expert_intermediate_size": 512,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 151936,
}

PUBLISHED: dict[str, Published] = {
    "state-spaces/mamba-130m-hf": Published(MAMBA, 129_135_360, tolerance=0),
    "state-spaces/mamba-2.8b-hf": Published(
        {
            **MAMBA,
            "hidden_size": 2560,
            "intermediate_size": 5120,
            "num_hidden_layers": 64,
            "time_step_rank": 160,
        },
        2_768_345_600,
        tolerance=0,
    ),
    "tiiuae/falcon-mamba-7b": Published(FALCON, 7.27e9),
    "mistralai/Mamba-Codestral-7B-v0.1": Published(CODESTRAL, 7_285_403_648, tolerance=0),
    "ai21labs/Jamba-v0.1": Published(JAMBA, 51.6e9, 12e9, kind="hybrid"),
    # "3B activated" leaves out the two tables, of 0.3 B each.
    "Qwen/Qwen3-Next-80B-A3B-Instruct": Published(
        QWEN, 80e9, 3e9 + 2 * 0.31e9, kind="hybrid", active_tolerance=0.1
    ),
}


def _read(config: Values) -> Decoder:
    spec = find(str(config["model_type"])).read(Config(config))
    assert isinstance(spec, Decoder)
    return spec


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_publishers_number_of_parameters(name: str) -> None:
    published = PUBLISHED[name]
    spec = _read(published.config)
    assert count(spec) == pytest.approx(published.total, rel=published.tolerance)
    assert model_class(spec)[0] == published.kind
    if published.active is not None:
        assert active(spec) == pytest.approx(published.active, rel=published.active_tolerance)


def test_jambas_layers_stand_where_its_paper_puts_them() -> None:
    """One layer in eight attends, every second one has experts (Lieber et al., 2024, figure 2)."""
    layers = _read(JAMBA).layers
    assert [i for i, layer in enumerate(layers) if isinstance(layer.mixer, Attention)] == [
        4,
        12,
        20,
        28,
    ]
    assert [i for i, layer in enumerate(layers) if isinstance(layer.feed_forward, Experts)] == [
        *range(1, 32, 2)
    ]


def test_jambas_state_is_what_its_paper_says() -> None:
    """256K tokens take 4 GB of keys and values in 16 bits; what Mamba remembers is constant."""
    spec = _read(JAMBA)
    attending = replace(spec, layers=(spec.layers[4],) * 4)
    assert state_bytes(attending, "bfloat16", 2**18) == 4 * 2**30
    kept = [state_bytes(spec, "bfloat16", context) for context in (1, 2, 2**18)]
    grown = [state_bytes(attending, "bfloat16", context) for context in (1, 2, 2**18)]
    assert len({total - keys for total, keys in zip(kept, grown, strict=True)}) == 1


@pytest.mark.parametrize("name", [name for name, p in PUBLISHED.items() if p.kind == "SSM"])
def test_what_a_recurrence_remembers_has_one_size(name: str) -> None:
    spec = _read(PUBLISHED[name].config)
    assert state_bytes(spec, "bfloat16", 1024) == state_bytes(spec, "bfloat16", 16 * 1024)
    for layer in spec.layers:
        assert isinstance(layer.mixer, Recurrence)
        assert layer.mixer.operations(1) == layer.mixer.operations(10**6) > 0


@pytest.mark.parametrize(
    ("config", "change", "complaint"),
    [
        (MAMBA, {"rms_norm": False}, "'rms_norm' must be true"),
        (MAMBA, {"hidden_act": "mish"}, "'hidden_act' must be one of"),
        (MAMBA, {"time_step_rank": "some"}, "'time_step_rank' must be a whole number"),
        (CODESTRAL, {"num_heads": 100}, "100 heads of 64 do not make up 8192 channels"),
        (CODESTRAL, {"n_groups": 7}, "7 groups cannot share 128 heads evenly"),
        (CODESTRAL, {"time_step_limit": [0.0]}, "'time_step_limit' must hold two numbers"),
        (CODESTRAL, {"time_step_limit": [0.2, 0.1]}, "a number and a greater one"),
        (JAMBA, {"attn_layer_offset": 8}, "'attn_layer_offset' is 8"),
        (JAMBA, {"mamba_inner_layernorms": False}, "'mamba_inner_layernorms' must be true"),
        (QWEN, {"layer_types": ["full_attention"]}, "1 entries for 48 layers"),
        (QWEN, {"layer_types": ["sliding_attention"] * 48}, "holds 'sliding_attention'"),
        (QWEN, {"linear_num_key_heads": 5}, "5 key heads cannot share 32 value heads"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(
    config: Values, change: Values, complaint: str
) -> None:
    _read(config)
    with pytest.raises(ConfigError, match=complaint):
        _read({**config, **change})


def test_a_time_step_limit_is_spelled_in_three_ways() -> None:
    endless = [_read({**CODESTRAL, "time_step_limit": [0.0, {"__float__": "Infinity"}]})]
    endless.append(_read({k: v for k, v in CODESTRAL.items() if k != "time_step_limit"}))
    assert endless == [_read(CODESTRAL)] * 2
    assert _read({**CODESTRAL, "time_step_limit": [0.001, 0.1]}) != endless[0]


def test_layers_that_guess_further_ahead_are_left_out() -> None:
    """Qwen3-Next's files hold layers for the token after next, which a decoder never reads."""
    small = {**QWEN, "num_hidden_layers": 4, "num_experts": 2, "num_experts_per_tok": 1}
    dialect, spec = find("qwen3_next"), _read(small)
    names = [name for rule in dialect.rules(spec) for name in rule.theirs]
    ahead = [name.format(layer=0, expert=1) for name in names if name.startswith("mtp.")]
    assert "mtp.layers.0.mlp.experts.1.gate_proj" in ahead
    assert "mtp.fc" in ahead
    assert assign(dialect.rules(spec), [f"{name}.weight" for name in ahead], ()) == []


def test_ggufs_falcon_mamba_is_a_mamba_with_norms() -> None:
    keys = {
        "embedding_length": 4096,
        "block_count": 64,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 8192,
        "ssm.state_size": 16,
        "ssm.time_step_rank": 256,
        "ssm.dt_b_c_rms": True,
    }
    metadata = {"general.architecture": "mamba", **{f"mamba.{k}": v for k, v in keys.items()}}
    shapes = {
        "token_embd.weight": (65024, 4096),
        "output.weight": (65024, 4096),
        "blk.0.ssm_conv1d.bias": (8192,),
    }
    assert _read(gguf.configuration(metadata, shapes, lambda name: [])) == _read(FALCON)


def test_ggufs_jamba_says_where_its_layers_stand_by_its_tensors() -> None:
    spec = _read(JAMBA)
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (65536, 4096)}
    for index, layer in enumerate(spec.layers):
        mixing = "ssm_out" if isinstance(layer.mixer, Mamba) else "attn_q"
        shapes[f"blk.{index}.{mixing}.weight"] = (4096, 8192)
        shapes[f"blk.{index}.ssm_conv1d.bias"] = (8192,)
        if isinstance(layer.feed_forward, Experts):
            shapes[f"blk.{index}.ffn_gate_inp.weight"] = (16, 4096)
    shapes["output.weight"] = (65536, 4096)
    heads = [8 if isinstance(layer.mixer, Attention) else 0 for layer in spec.layers]
    keys = {
        "context_length": 262144,
        "embedding_length": 4096,
        "block_count": 32,
        "feed_forward_length": 14336,
        "attention.head_count": 32,
        "attention.head_count_kv": heads,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "expert_count": 16,
        "expert_used_count": 2,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 8192,
        "ssm.state_size": 16,
        "ssm.time_step_rank": 256,
    }
    metadata = {"general.architecture": "jamba", **{f"jamba.{k}": v for k, v in keys.items()}}
    assert _read(gguf.configuration(metadata, shapes, lambda name: [])) == spec
