"""Phi-3.5-MoE and Phi-mini-MoE: sixteen experts behind a sparse mixer, with layer norms.

Abdin et al., 2024 (arXiv 2404.14219); the router: Liu et al., 2024 (arXiv 2409.12136).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, NUMBERED, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.attention import Everything, Window
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts, SparseMixer
from fathom.spec.parts import Norm
from fathom.spec.positions import LongRopeScaling, Rotary


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=131072)
    rotary = _rotary(config, sizes.head_width, sizes.context)
    window = config.optional_integer("sliding_window")
    bias = config.flag("attention_bias", False)
    attention = replace(
        sizes.attention(rotary),
        reach=Window(window) if window else Everything(),
        input_bias=bias,
        output_bias=bias,
    )
    router = read_router(config, sizes.width)
    config.require(
        router.active == 2, f"'num_experts_per_tok' is {router.active}, a sparse mixer chooses 2"
    )
    jitter = config.number("router_jitter_noise", 0.01)
    experts = Experts(
        SparseMixer(sizes.width, router.experts, jitter),
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "silu"),
    )
    epsilon = config.number("rms_norm_eps", 1e-5, positive=True)
    norm = Norm(sizes.width, epsilon, kind="layer", bias=True)
    tied = config.flag("tie_word_embeddings", False)
    layers = (pre_norm(attention, experts, norm),) * sizes.layers
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=rotary)
    head_bias = config.flag("lm_head_bias", False)
    config.require(not (head_bias and tied), "'lm_head_bias' asks for a bias on a tied output")
    return replace(decoder, output=replace(decoder.output, bias=head_bias))


def _rotary(config: Config, head_width: int, context: int) -> Rotary:
    """Return the rotary embedding; the file states a factor on cosine and sine for each length."""
    rotary = read_rotary(config, head_width, context=context, base=1e6)
    if not isinstance(rotary.scaling, LongRopeScaling):
        return rotary
    parameters = config.section("rope_parameters")
    stated = parameters if parameters.values else config.section("rope_scaling")
    short = stated.number("short_mscale", rotary.scaling.attention)
    long = stated.number("long_mscale", rotary.scaling.attention)
    return replace(rotary, scaling=replace(rotary.scaling, attention=short, attention_beyond=long))


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, *expert_rules(f"{LAYER}.block_sparse_moe", maps=NUMBERED))


DIALECT = Dialect("phimoe", read, rules, prefix="model.")
