"""MPT: linear attention biases, no other biases at all (MosaicML, 2023, "Introducing MPT-7B")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.alibi import slopes
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import fused_attention, fused_gguf_rules, read_dimensions
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Alibi

# Usual key → MPT's own.
NAMES = {
    "hidden_size": "d_model",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "max_position_embeddings": "max_seq_len",
    "layer_norm_eps": "layer_norm_epsilon",
}
# What the attention may ask for and no published MPT does, with the value that it leaves unsaid.
UNUSED = {"qk_ln": False, "prefix_lm": False, "attn_uses_sequence_id": False}


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(NAMES)
    inside = config.section("attn_config")
    _refuse_unused(config, inside)
    sizes = read_dimensions(config)
    width = sizes.width
    steepest = inside.number("alibi_bias_max", 8, positive=True)
    attention = replace(
        sizes.attention(Alibi(slopes(sizes.heads, steepest))),
        scale=inside.optional_number("softmax_scale", positive=True),
        clip=inside.optional_number("clip_qkv", positive=True),
    )
    norm = Norm(width, config.number("layer_norm_eps", 1e-5, positive=True), "layer")
    inner = config.integer("expansion_ratio", 4) * width
    residual = Residual(before=norm)
    layer = Layer(attention, residual, Mlp(width, inner, "gelu", bias=False), residual)
    tied = config.flag("tie_word_embeddings", True)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied)


def _refuse_unused(config: Config, inside: Config) -> None:
    """Raise for what the configuration can say and no published model does.

    Raises:
        ConfigError: naming the key.
    """
    inside.choice("attn_type", ["multihead_attention"], "multihead_attention")
    for key, unsaid in UNUSED.items():
        inside.require(inside.flag(key, unsaid) == unsaid, f"'{key}' is not supported")
    inside.require(inside.flag("alibi", True), "'alibi' is false: learned positions are missing")
    config.require(config.flag("no_bias", True), "'no_bias' is false: biases are not supported")
    config.require("logit_scale" not in config, "'logit_scale' is not supported")
    config.choice("norm_type", ["low_precision_layernorm", "layernorm"], "low_precision_layernorm")


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "transformer.blocks.{layer}", "layers.{layer}"
    return (
        rename("transformer.wte", "embedding.tokens"),
        rename(f"{theirs}.norm_1", f"{ours}.mixer_residual.before"),
        fused_attention(f"{theirs}.attn.Wqkv", spec),
        rename(f"{theirs}.attn.out_proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.norm_2", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.ffn.up_proj", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.ffn.down_proj", f"{ours}.feed_forward.down"),
        rename("transformer.norm_f", "norm"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


DIALECT = Dialect("mpt", read, rules, prefix="transformer.", gguf_rules=fused_gguf_rules)
