"""Mixtral: Mistral's layers with eight experts in place of each feed-forward.

Jiang et al., 2024 (arXiv 2401.04088).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llama import gguf_rules
from fathom.dialects.mixtures import LAYER, NUMBERED, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.attention import Everything, Window
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=131072)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, base=1e6)
    window = config.optional_integer("sliding_window")
    reach = Window(window) if window else Everything()
    experts = Experts(
        read_router(config, sizes.width, renormalise=True),
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "silu"),
    )
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-5, positive=True))
    layer = pre_norm(replace(sizes.attention(rotary), reach=reach), experts, norm)
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder((layer,) * sizes.layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, *expert_rules(f"{LAYER}.block_sparse_moe", maps=NUMBERED))


DIALECT = Dialect("mixtral", read, rules, prefix="model.", gguf_rules=gguf_rules)
