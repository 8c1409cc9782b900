"""OLMoE: small experts, many of them chosen, and norms over all heads together.

Muennighoff et al., 2024 (arXiv 2409.02060).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=4096)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    epsilon = config.number("rms_norm_eps", 1e-5, positive=True)
    bias = config.flag("attention_bias", False)
    attention = replace(
        sizes.attention(rotary),
        query_norm=Norm(sizes.heads * sizes.head_width, epsilon),
        key_norm=Norm(sizes.kv_heads * sizes.head_width, epsilon),
        clip=config.optional_number("clip_qkv", positive=True),
        input_bias=bias,
        output_bias=bias,
    )
    renormalise = config.flag("norm_topk_prob", False)
    experts = Experts(
        read_router(config, sizes.width, renormalise=renormalise),
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "silu"),
    )
    norm = Norm(sizes.width, epsilon)
    layers = (pre_norm(attention, experts, norm),) * sizes.layers
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, *expert_rules(f"{LAYER}.mlp"))


DIALECT = Dialect("olmoe", read, rules, prefix="model.")
