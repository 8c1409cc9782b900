"""Llama 1 to 3.3 and what is built like it: Mistral, SmolLM, Yi, TinyLlama, Vicuna …

Pre-norm layers of grouped-query attention with rotary positions and a gated feed-forward.
Llama: Touvron et al., 2023 (arXiv 2302.13971); Mistral: Jiang et al., 2023 (arXiv 2310.06825).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename, swap_rotary_pairs
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.attention import Attention, Everything, Window
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config)
    # Mistral has a window and no biases; Llama states one flag for all four projections.
    window = config.optional_integer("sliding_window") if _is_mistral(config) else None
    bias = False if _is_mistral(config) else config.flag("attention_bias", False)
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    attention = replace(
        sizes.attention(rotary),
        reach=Window(window) if window else Everything(),
        input_bias=bias,
        output_bias=bias,
    )
    feed_forward = GatedMlp(
        width=sizes.width,
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "silu"),
        bias=config.flag("mlp_bias", False),
    )
    layer = Layer(attention, Residual(before=norm), feed_forward, Residual(before=norm))
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def _is_mistral(config: Config) -> bool:
    return config.text("model_type", "llama") == "mistral"


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec)


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps Llama's query and key rows in pairs (2i, 2i + 1), as Meta's own files do."""
    attention = spec.mixer(Attention)
    query = swap_rotary_pairs(attention.heads, attention.head_width)
    key = swap_rotary_pairs(attention.kv_heads, attention.head_width)
    return (
        rename("blk.{layer}.attn_q", "layers.{layer}.mixer.query", query),
        rename("blk.{layer}.attn_k", "layers.{layer}.mixer.key", key),
    )


DIALECT = Dialect("llama", read, rules, prefix="model.", gguf_rules=gguf_rules)
