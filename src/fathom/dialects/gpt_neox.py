"""GPT-NeoX and Pythia: attention and feed-forward side by side, each under its own norm.

Black et al., 2022 (arXiv 2204.06745); Biderman et al., 2023 (arXiv 2304.01373).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import fused_attention, fused_gguf_rules, read_dimensions
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(
        {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
    )
    sizes = read_dimensions(config)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, fraction=0.25)
    bias = config.flag("attention_bias", True)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    feed_forward = Mlp(
        width=sizes.width,
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "gelu"),
    )
    epsilon = config.number("layer_norm_eps", 1e-5, positive=True)
    norm = Norm(sizes.width, epsilon, "layer", bias=True)
    residual = Residual(before=norm)
    parallel = config.flag("use_parallel_residual", True)
    layer = Layer(attention, residual, feed_forward, residual, parallel)
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours; a head's three projections lie together."""
    theirs, ours = "gpt_neox.layers.{layer}", "layers.{layer}"
    heads = spec.mixer(Attention).heads
    return (
        rename("gpt_neox.embed_in", "embedding.tokens"),
        rename(f"{theirs}.input_layernorm", f"{ours}.mixer_residual.before"),
        fused_attention(f"{theirs}.attention.query_key_value", spec, groups=heads),
        rename(f"{theirs}.attention.dense", f"{ours}.mixer.output"),
        drop(f"{theirs}.attention.bias"),  # the causal mask
        drop(f"{theirs}.attention.masked_bias"),
        drop(f"{theirs}.attention.rotary_emb.inv_freq"),
        rename(f"{theirs}.post_attention_layernorm", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.mlp.dense_h_to_4h", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.dense_4h_to_h", f"{ours}.feed_forward.down"),
        rename("gpt_neox.final_layer_norm", "norm"),
        *_output_rules(spec),
    )


def _output_rules(spec: Decoder) -> Sequence[Rule]:
    """Published files say ``embed_out``; some that were saved later say ``lm_head``."""
    names = ("embed_out", "lm_head")
    return [drop(name) if spec.output.tied else rename(name, "output.head") for name in names]


DIALECT = Dialect("gpt_neox", read, rules, prefix="gpt_neox.", gguf_rules=fused_gguf_rules)
