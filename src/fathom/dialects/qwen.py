"""Qwen 1.5 to 3 without experts, and MiMo, which is Qwen 2 trained with a second objective.

Qwen 2 (Yang et al., 2024, arXiv 2407.10671) is Llama with biases on query, key and value;
Qwen 3 (2025, arXiv 2505.09388) norms each query and key head instead. MiMo (Xiaomi, 2025, arXiv
2505.07608) adds layers that predict further tokens, for training and speculation: not read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, drop
from fathom.dialects.trunk import read_dimensions, read_reaches, trunk_rules
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    third = config.text("model_type", "qwen2") == "qwen3"
    sizes = read_dimensions(config, context=32768)
    epsilon = config.number("rms_norm_eps", 1e-6, positive=True)
    head_norm = Norm(sizes.head_width, epsilon) if third else None
    bias = config.flag("attention_bias", not third)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    attention = replace(
        sizes.attention(rotary),
        input_bias=bias,
        output_bias=bias and third,
        query_norm=head_norm,
        key_norm=head_norm,
    )
    inner = config.integer("intermediate_size")
    feed_forward = GatedMlp(sizes.width, inner, config.activation("hidden_act", "silu"))
    norm = Norm(sizes.width, epsilon)
    windows = config.flag("use_sliding_window", False)  # a window may be stated and not used
    window = config.integer("sliding_window") if windows else None
    first = config.integer("max_window_layers", 28, least=0)  # layers before it see everything
    layers = [
        Layer(replace(attention, reach=reach), Residual(norm), feed_forward, Residual(norm))
        for reach in read_reaches(config, sizes.layers, window, lambda index: index >= first)
    ]
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


_FURTHER_TOKENS = (
    *("input_layernorm", "post_attention_layernorm", "token_layernorm", "hidden_layernorm"),
    *("final_layernorm", "input_proj"),
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    further = (drop(f"model.mtp_layers.{{layer}}.{name}") for name in _FURTHER_TOKENS)
    return trunk_rules(spec, *further)


DIALECT = Dialect("qwen", read, rules, prefix="model.")
