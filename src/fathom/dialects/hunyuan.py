"""Hunyuan V1, dense (0.5B to 7B) and with experts (A13B): Tencent, 2025, technical report.

Llama-like layers whose queries and keys are normed after the rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder, FeedForward
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config)
    config.require(
        not config.flag("use_cla", False), "'use_cla' is true; layers share no keys here"
    )
    rotary = _rotary(config, sizes.head_width, sizes.context)
    epsilon = config.number("rms_norm_eps", 1e-5, positive=True)
    head_norm = Norm(sizes.head_width, epsilon) if config.flag("use_qk_norm", True) else None
    bias = config.flag("attention_bias", False)
    attention = replace(
        sizes.attention(rotary),
        query_norm=head_norm,
        key_norm=head_norm,
        norm_after_rotary=True,
        input_bias=bias,
        output_bias=bias,
    )
    norm = Norm(sizes.width, epsilon)
    layers = (
        pre_norm(attention, _feed_forward(config, sizes.width, index), norm)
        for index in range(sizes.layers)
    )
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def _rotary(config: Config, head_width: int, context: int) -> Rotary:
    """Return the rotary embedding; a "dynamic" law with an `alpha` only raises the base."""
    parameters = config.section("rope_parameters")
    key = "rope_parameters" if parameters.values else "rope_scaling"
    scaling = config.section(key)
    if "alpha" not in scaling:
        return read_rotary(config, head_width, context=context)
    kind = "rope_type" if "rope_type" in scaling else "type"
    scaling.choice(kind, ("dynamic",))
    raised = scaling.number("alpha", positive=True) ** (head_width / (head_width - 2))
    plain = Config({**config.values, key: {**scaling.values, kind: "default"}}, config.where)
    rotary = read_rotary(plain, head_width, context=context)
    return replace(rotary, base=rotary.base * raised)


def _feed_forward(config: Config, width: int, layer: int) -> FeedForward:
    activation = config.activation("hidden_act", "silu")
    inner = config.integer("intermediate_size")
    if config.text("model_type") == "hunyuan_v1_dense":
        return GatedMlp(width, inner, activation)
    own = Config(
        {
            **config.values,
            **{key: _of_layer(config, key, layer) for key in _PER_LAYER if key in config},
        },
        config.where,
    )
    shared = inner * own.integer("num_shared_expert", 1)
    return Experts(
        read_router(own, width, counts=("num_experts",), active="moe_topk", renormalise=True),
        inner=own.integer("moe_intermediate_size", inner),
        activation=activation,
        shared=GatedMlp(width, shared, activation),
    )


_PER_LAYER = ("num_experts", "moe_topk", "num_shared_expert", "moe_intermediate_size")


def _of_layer(config: Config, key: str, layer: int) -> object:
    """Return a value that the file states once, or in a list with one entry per layer."""
    value = config.values[key]
    if not isinstance(value, list | tuple):
        return value
    config.require(layer < len(value), f"'{key}' has no entry for layer {layer}")
    return value[layer]


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(
        spec,
        rename(f"{LAYER}.self_attn.query_layernorm", "layers.{layer}.mixer.query_norm"),
        rename(f"{LAYER}.self_attn.key_layernorm", "layers.{layer}.mixer.key_norm"),
        *expert_rules(f"{LAYER}.mlp", router="gate.wg", shared="shared_mlp"),
    )


DIALECT = Dialect("hunyuan", read, rules, prefix="model.")
