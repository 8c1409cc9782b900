"""Qwen3-Next: three layers of the gated delta rule to one of gated attention, with many experts.

Qwen team, 2025; the layers are those of Yang et al., 2024 (arXiv 2412.06464), and Qiu et al., 2025
(arXiv 2505.06708). Norms are stored as their distance from one, except those inside the delta rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mamba import convolution_rules
from fathom.dialects.mixtures import LAYER, expert_rules, pre_norm, read_router
from fathom.dialects.qwen_moe import sparse_layers
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import NegativeLogarithm, Reshape, Rule, Shift, drop, rename, split
from fathom.dialects.trunk import Dimensions, read_dimensions, trunk_rules, with_defaults
from fathom.spec.attention import GatedAttention
from fathom.spec.decoder import Decoder, FeedForward
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary
from fathom.spec.state_space import Convolution, DeltaRule

LINEAR, FULL = "linear_attention", "full_attention"


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = with_defaults(config, {"head_dim": 256})
    sizes = read_dimensions(config, context=32768)
    epsilon = config.number("rms_norm_eps", 1e-6, positive=True)
    norm = Norm(sizes.width, epsilon)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, fraction=0.25)
    attention = _attention(config, sizes, rotary, epsilon)
    rule = _delta_rule(config, sizes.width, epsilon)
    activation = config.activation("hidden_act", "silu")
    dense: FeedForward = GatedMlp(
        sizes.width, config.integer("intermediate_size", 5632), activation
    )
    sparse = _experts(config, sizes.width)
    chooses = sparse_layers(config, sizes.layers)
    layers = [
        pre_norm(attention if kind == FULL else rule, sparse if index in chooses else dense, norm)
        for index, kind in enumerate(_kinds(config, sizes.layers))
    ]
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def _kinds(config: Config, layers: int) -> Sequence[object]:
    """Return what mixes in each layer: as listed, or every n-th layer attends."""
    interval = config.integer("full_attention_interval", 4)
    usual = [LINEAR if (index + 1) % interval else FULL for index in range(layers)]
    kinds = config.items("layer_types", usual)
    config.require(
        len(kinds) == layers, f"'layer_types' has {len(kinds)} entries for {layers} layers"
    )
    for kind in kinds:
        config.require(
            kind in (LINEAR, FULL), f"'layer_types' holds {kind!r}; known are {LINEAR} and {FULL}"
        )
    return kinds


def _attention(config: Config, sizes: Dimensions, rotary: Rotary, epsilon: float) -> GatedAttention:
    bias, norm = config.flag("attention_bias", False), Norm(sizes.head_width, epsilon)
    return GatedAttention(
        sizes.width,
        sizes.heads,
        sizes.kv_heads,
        sizes.head_width,
        rotary,
        input_bias=bias,
        output_bias=bias,
        query_norm=norm,
        key_norm=norm,
    )


def _delta_rule(config: Config, width: int, epsilon: float) -> DeltaRule:
    key_heads = config.integer("linear_num_key_heads", 16)
    value_heads = config.integer("linear_num_value_heads", 32)
    key_width = config.integer("linear_key_head_dim", 128)
    value_width = config.integer("linear_value_head_dim", 128)
    config.require(
        value_heads % key_heads == 0,
        f"{key_heads} key heads cannot share {value_heads} value heads evenly",
    )
    convolution = Convolution(
        2 * key_heads * key_width + value_heads * value_width,
        config.integer("linear_conv_kernel_dim", 4),
        bias=False,
        activation=config.activation("hidden_act", "silu"),
    )
    norm = Norm(value_width, epsilon)
    return DeltaRule(width, key_heads, key_width, value_heads, value_width, convolution, norm)


def _experts(config: Config, width: int) -> Experts:
    activation = config.activation("hidden_act", "silu")
    inner = config.integer("shared_expert_intermediate_size", 512)
    return Experts(
        read_router(config, width, renormalise=config.flag("norm_topk_prob", True)),
        inner=config.integer("moe_intermediate_size", 512),
        activation=activation,
        shared=GatedMlp(width, inner, activation),
        shared_gate=True,
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours.

    Both mixers have parts of one name, so the rules of each delta rule bear its number.
    """
    own = list(expert_rules(f"{LAYER}.mlp", shared="shared_expert"))
    for index, mixer in delta_rules(spec):
        own += _delta_names(mixer, f"model.layers.{index}.linear_attn", f"layers.{index}.mixer")
    own.append(_query_and_gate(spec, f"{LAYER}.self_attn.q_proj"))
    return _and_without_next(trunk_rules(spec, *own, norms=(Shift(1.0),)))


def delta_rules(spec: Decoder) -> list[tuple[int, DeltaRule]]:
    """Return the layers that mix by the delta rule, with their numbers."""
    numbered = enumerate(layer.mixer for layer in spec.layers)
    return [(index, mixer) for index, mixer in numbered if isinstance(mixer, DeltaRule)]


def _delta_names(mixer: DeltaRule, theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of one delta rule; each key head's rows lie together in a projection."""
    keys, values = mixer.key_heads * mixer.key_width, mixer.value_heads * mixer.value_width
    seen = {"query": keys, "key": keys, "value": values, "gate": values}
    paces = {"share": mixer.value_heads, "time_step": mixer.value_heads}
    return (
        split(f"{theirs}.in_proj_qkvz", _below(ours, seen), groups=mixer.key_heads),
        split(f"{theirs}.in_proj_ba", _below(ours, paces), groups=mixer.key_heads),
        *convolution_rules(mixer.convolution, f"{theirs}.conv1d", ours),
        rename(f"{theirs}.dt_bias", f"{ours}.time_step_bias"),
        rename(f"{theirs}.A_log", f"{ours}.decay"),
        rename(f"{theirs}.norm", f"{ours}.norm"),
        rename(f"{theirs}.out_proj", f"{ours}.output"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a GGUF file, and ours; its norms are whole, and it keeps the decay."""
    own = [
        _query_and_gate(spec, "blk.{layer}.attn_q"),
        rename("blk.{layer}.post_attention_norm", "layers.{layer}.feed_forward_residual.before"),
        rename(
            "blk.{layer}.ffn_gate_inp_shexp.weight",
            "layers.{layer}.feed_forward.shared_gate.weight",
            Reshape((spec.width,), (1, spec.width)),
        ),
    ]
    named = [_delta_gguf_names(m, f"blk.{i}", f"layers.{i}.mixer") for i, m in delta_rules(spec)]
    return (*(rule for rules in named for rule in rules), *own)


def _delta_gguf_names(mixer: DeltaRule, theirs: str, ours: str) -> Sequence[Rule]:
    """Return GGUF's names of one delta rule; it keeps all query rows, then all key rows …"""
    keys, values = mixer.key_heads * mixer.key_width, mixer.value_heads * mixer.value_width
    seen = {"query": keys, "key": keys, "value": values}
    paces = {"share": mixer.value_heads, "time_step": mixer.value_heads}
    return (
        split(f"{theirs}.attn_qkv", _below(ours, seen)),
        rename(f"{theirs}.attn_gate", f"{ours}.gate"),
        # The first files of this architecture kept the publisher's own fused map.
        split(f"{theirs}.ssm_in", _below(ours, seen | {"gate": values}), groups=mixer.key_heads),
        split(f"{theirs}.ssm_ba", _below(ours, paces), groups=mixer.key_heads),
        rename(f"{theirs}.ssm_conv1d", f"{ours}.convolution"),
        rename(f"{theirs}.ssm_dt.bias", f"{ours}.time_step_bias"),
        rename(f"{theirs}.ssm_a", f"{ours}.decay", NegativeLogarithm()),
        rename(f"{theirs}.ssm_norm", f"{ours}.norm"),
        rename(f"{theirs}.ssm_out", f"{ours}.output"),
    )


def _below(ours: str, sizes: dict[str, int]) -> dict[str, int]:
    return {f"{ours}.{name}": size for name, size in sizes.items()}


def _query_and_gate(spec: Decoder, theirs: str) -> Rule:
    """Return the rule of one map that holds, head by head, a query and its gate."""
    attention = spec.mixer(GatedAttention)
    inner = attention.heads * attention.head_width
    sizes = _below("layers.{layer}.mixer", {"query": inner, "gate": inner})
    return split(theirs, sizes, groups=attention.heads)


def _and_without_next(rules: Sequence[Rule]) -> Sequence[Rule]:
    """Add rules that drop the layers which guess the token after next: training reads them."""
    names = [name for rule in rules for name in rule.theirs if name.startswith(LAYER)]
    ahead = [f"mtp{name.removeprefix('model')}" for name in names]
    joints = ("mtp.fc", "mtp.norm", "mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden")
    return (*rules, *(drop(name) for name in (*ahead, *joints)))


DIALECT = Dialect("qwen3-next", read, rules, prefix="model.", gguf_rules=gguf_rules)
