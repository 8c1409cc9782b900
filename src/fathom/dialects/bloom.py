"""BLOOM: linear attention biases instead of positions, a norm after the embedding.

BigScience Workshop, 2022 (arXiv 2211.05100).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.alibi import slopes
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import fused_attention, fused_gguf_rules, read_dimensions
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Alibi

# Usual key → BLOOM's own.
NAMES = {
    "hidden_size": "n_embed",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
    "max_position_embeddings": "seq_length",
    "layer_norm_eps": "layer_norm_epsilon",
}


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(NAMES)
    config.require(
        not config.flag("apply_residual_connection_post_layernorm", False),
        "'apply_residual_connection_post_layernorm' is true, and no published model sets it",
    )
    sizes = read_dimensions(config)
    width = sizes.width
    attention = replace(
        sizes.attention(Alibi(slopes(sizes.heads))), input_bias=True, output_bias=True
    )
    norm = Norm(width, config.number("layer_norm_eps", 1e-5, positive=True), "layer", bias=True)
    residual = Residual(before=norm)
    layer = Layer(attention, residual, Mlp(width, 4 * width, "gelu_tanh"), residual)
    tied = config.flag("tie_word_embeddings", True)
    plain = sizes.decoder([layer] * sizes.layers, norm, tied=tied)
    return replace(plain, embedding=replace(plain.embedding, norm=norm))


def trunk_rules(spec: Decoder, *own: Rule) -> tuple[Rule, ...]:
    """Return the names that BLOOM shares with Falcon; a dialect's `own` come first.

    The rows of query, key and value lie in one block per key head.
    """
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    key_heads = spec.mixer(Attention).kv_heads
    return (
        *own,
        rename("transformer.word_embeddings", "embedding.tokens"),
        rename(f"{theirs}.input_layernorm", f"{ours}.mixer_residual.before"),
        fused_attention(f"{theirs}.self_attention.query_key_value", spec, groups=key_heads),
        rename(f"{theirs}.self_attention.dense", f"{ours}.mixer.output"),
        drop(f"{theirs}.self_attention.rotary_emb.inv_freq"),
        rename(f"{theirs}.post_attention_layernorm", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.mlp.dense_h_to_4h", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.dense_4h_to_h", f"{ours}.feed_forward.down"),
        rename("transformer.ln_f", "norm"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, rename("transformer.word_embeddings_layernorm", "embedding.norm"))


DIALECT = Dialect("bloom", read, rules, prefix="transformer.", gguf_rules=fused_gguf_rules)
