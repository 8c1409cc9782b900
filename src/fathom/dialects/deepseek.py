"""DeepSeek-V2, V2-Lite, V3 and R1: latent attention, fine-grained experts beside shared ones.

DeepSeek-AI, 2024: V2 (arXiv 2405.04434), V3 (arXiv 2412.19437).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, OURS, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Reshape, Rule, Transpose, drop, rename, split
from fathom.dialects.trunk import Dimensions, read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts, Groups, Router
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.latent_attention import LatentAttention
from fathom.spec.parts import Norm

LATENT_EPSILON = 1e-6  # of the latents' norms, whatever the file says of the others


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config)
    attention = _attention(config, sizes)
    activation = config.activation("hidden_act", "silu")
    dense = GatedMlp(
        sizes.width, config.integer("intermediate_size"), activation, config.flag("mlp_bias", False)
    )
    experts = _experts(config, sizes.width)
    first = config.integer("first_k_dense_replace", 0 if _is_second(config) else 3, least=0)
    every = config.integer("moe_layer_freq", 1)
    config.require(every == 1, f"'moe_layer_freq' is {every}; only 1 is known")
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    layers = (
        pre_norm(attention, dense if index < first else experts, norm)
        for index in range(sizes.layers)
    )
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=attention.positions)


def _is_second(config: Config) -> bool:
    return config.text("model_type") == "deepseek_v2"


def _attention(config: Config, sizes: Dimensions) -> LatentAttention:
    width = config.integer("qk_rope_head_dim")
    interleaved = _is_second(config) or config.flag("rope_interleave", True)
    rotary = read_rotary(config, width, context=sizes.context, interleaved=interleaved)
    plain = config.integer("qk_nope_head_dim")
    bias = config.flag("attention_bias", False)
    return LatentAttention(
        width=sizes.width,
        heads=sizes.heads,
        latent=config.integer("kv_lora_rank"),
        plain_width=plain,
        value_width=config.integer("v_head_dim"),
        positions=rotary,
        epsilon=LATENT_EPSILON,
        query_latent=config.optional_integer("q_lora_rank"),
        scale=(plain + width) ** -0.5 * _sharpening(config),
        input_bias=bias,
        output_bias=bias,
    )


def _sharpening(config: Config) -> float:
    """Return what a stretched model's scores are multiplied by: YaRN's factor, squared.

    Squared, since it would scale queries and keys; the cosines' own factor is what is left of it.
    """
    parameters = config.section("rope_parameters")
    scaling = parameters if parameters.values else config.section("rope_scaling")
    weight = scaling.number("mscale_all_dim", 0.0)
    if not weight:
        return 1.0
    factor = scaling.number("factor", positive=True)
    return (0.1 * weight * math.log(factor) + 1.0) ** 2 if factor > 1 else 1.0


def _experts(config: Config, width: int) -> Experts:
    inner = config.integer("moe_intermediate_size")
    activation = config.activation("hidden_act", "silu")
    shared = config.integer("n_shared_experts", 0, least=0)
    bias = config.flag("mlp_bias", False)
    return Experts(
        _second_router(config, width) if _is_second(config) else _third_router(config, width),
        inner=inner,
        activation=activation,
        shared=GatedMlp(width, inner * shared, activation, bias) if shared else None,
    )


def _second_router(config: Config, width: int) -> Router:
    """Return V2's router: a softmax, of groups the best single expert counts."""
    config.choice("scoring_func", ("softmax",), "softmax")
    config.require(
        not config.flag("norm_topk_prob", False),
        "'norm_topk_prob' is true; published code and reference disagree on what follows from it",
    )
    method = config.choice("topk_method", ("greedy", "group_limited_greedy"), "greedy")
    return replace(
        read_router(config, width),
        groups=_groups(config, best=1) if method == "group_limited_greedy" else None,
        scale=config.number("routed_scaling_factor", 1.0),
    )


def _third_router(config: Config, width: int) -> Router:
    """Return V3's router: sigmoids, a correction of the choice, groups by their best two."""
    config.choice("scoring_func", ("sigmoid",), "sigmoid")
    config.choice("topk_method", ("noaux_tc",), "noaux_tc")
    return replace(
        read_router(config, width, renormalise=config.flag("norm_topk_prob", True)),
        scoring="sigmoid",
        floor=1e-20,
        correction=True,
        groups=_groups(config, best=2),
        scale=config.number("routed_scaling_factor", 2.5),
    )


def _groups(config: Config, best: int) -> Groups | None:
    """Return the groups of experts; a single one restricts nothing."""
    count = config.integer("n_group", 8)
    active = config.integer("topk_group", 4)
    experts = config.integer("n_routed_experts")
    config.require(
        experts % count == 0 and active <= count and best <= experts // count,
        f"{experts} experts cannot be chosen from {active} of {count} groups",
    )
    return None if count == 1 else Groups(count, active, best)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours.

    Layers beyond the last predict further tokens in training and are left out.
    """
    theirs, ours = f"{LAYER}.self_attn", "layers.{layer}.mixer"
    return trunk_rules(
        spec,
        rename(f"{theirs}.q_a_proj", f"{ours}.query_down"),
        rename(f"{theirs}.q_a_layernorm", f"{ours}.query_norm"),
        rename(f"{theirs}.q_b_proj", f"{ours}.query_up"),
        rename(f"{theirs}.kv_a_proj_with_mqa", f"{ours}.latent_down"),
        rename(f"{theirs}.kv_a_layernorm", f"{ours}.latent_norm"),
        _split_heads(f"{theirs}.kv_b_proj", spec),
        rename(f"{LAYER}.mlp.gate.e_score_correction_bias", f"{OURS}.router.correction"),
        *expert_rules(f"{LAYER}.mlp"),
        drop(f"model.layers.{len(spec.layers)}.**"),
    )


def _split_heads(theirs: str, spec: Decoder) -> Rule:
    """Return the rule of one map to keys and values, head by head."""
    attention = spec.mixer(LatentAttention)
    key, value = attention.plain_width, attention.value_width
    heads, latent = attention.heads, attention.latent
    by_head = Reshape((heads * (key + value), latent), (heads, key + value, latent))
    ours = "layers.{layer}.mixer"
    return split(theirs, {f"{ours}.key_up": key, f"{ours}.value_up": value}, by_head, axis=1)


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps the map to keys the other way round, as absorbing it wants; older files do not."""
    theirs, ours = "blk.{layer}", "layers.{layer}.mixer"
    return (
        rename(f"{theirs}.attn_q_a", f"{ours}.query_down"),
        rename(f"{theirs}.attn_q_a_norm", f"{ours}.query_norm"),
        rename(f"{theirs}.attn_q_b", f"{ours}.query_up"),
        rename(f"{theirs}.attn_kv_a_mqa", f"{ours}.latent_down"),
        rename(f"{theirs}.attn_kv_a_norm", f"{ours}.latent_norm"),
        rename(f"{theirs}.attn_k_b", f"{ours}.key_up", Transpose()),
        rename(f"{theirs}.attn_v_b", f"{ours}.value_up"),
        _split_heads(f"{theirs}.attn_kv_b", spec),
    )


DIALECT = Dialect("deepseek", read, rules, prefix="model.", gguf_rules=gguf_rules)
