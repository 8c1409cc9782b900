"""Grok-1: eight wide experts, norms on both sides of each part, bounded attention scores.

xAI, 2024, from the model description that was published with the weights; tensor names are
those of its conversions to PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, expert_rules, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.experts import Experts
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=8192)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    attention = replace(
        sizes.attention(rotary),
        scale=config.number("attn_output_multiplier", positive=True),
        soft_cap=config.number("max_attn_value", 30.0, positive=True),
    )
    experts = Experts(
        read_router(config, sizes.width),
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "gelu_tanh"),
    )
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-5, positive=True))
    around = Residual(before=norm, after=norm)
    layers = (Layer(attention, around, experts, around),) * sizes.layers
    tied = config.flag("tie_word_embeddings", True)
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=rotary)
    return replace(
        decoder,
        embedding=replace(
            decoder.embedding, scale=config.number("embedding_multiplier_scale", positive=True)
        ),
        output=replace(
            decoder.output, scale=config.number("output_multiplier_scale", positive=True)
        ),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    norms = {
        "pre_attn_norm": "mixer_residual.before",
        "post_attn_norm": "mixer_residual.after",
        "pre_moe_norm": "feed_forward_residual.before",
        "post_moe_norm": "feed_forward_residual.after",
    }
    maps = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output"}
    return trunk_rules(
        spec,
        rename("model.norm.scale", "norm.weight"),
        *(
            rename(f"{LAYER}.{theirs}.scale", f"layers.{{layer}}.{ours}.weight")
            for theirs, ours in norms.items()
        ),
        *(
            rename(f"{LAYER}.attn.{theirs}", f"layers.{{layer}}.mixer.{ours}")
            for theirs, ours in maps.items()
        ),
        *expert_rules(f"{LAYER}.moe_block", maps=("linear", "linear_v", "linear_1")),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF names the second and the last norm of a layer after what they norm."""
    return (
        rename("blk.{layer}.attn_output_norm", "layers.{layer}.mixer_residual.after"),
        rename("blk.{layer}.layer_output_norm", "layers.{layer}.feed_forward_residual.after"),
    )


DIALECT = Dialect("grok", read, rules, prefix="model.", gguf_rules=gguf_rules)
