"""Command R, R+ and R7B (Cohere, 2024): no paper; their published modeling code.

One layer norm feeds attention and feed-forward, which run side by side; positions turn
neighbouring dimensions; scores are scaled. R+ norms every query and key head by its own weights.
R7B lets three layers of four slide, and gives the fourth no positions at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Reshape, Rule, rename
from fathom.dialects.trunk import (
    Dimensions,
    read_dimensions,
    read_reaches,
    trunk_rules,
    with_defaults,
)
from fathom.spec.attention import Attention, Everything, Reach
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    second = config.choice("model_type", ("cohere", "cohere2"), "cohere") == "cohere2"
    sizes = read_dimensions(config, context=8192)
    # Their ``max_position_embeddings`` spares memory; this is what the model was trained for.
    sizes = replace(sizes, context=config.integer("model_max_length", sizes.context))
    epsilon = config.number("layer_norm_eps", 1e-5, positive=True)
    rotary = read_rotary(
        config,
        sizes.head_width,
        context=sizes.context,
        base=10_000.0 if second else 500_000.0,
        interleaved=True,
    )
    bias = config.flag("attention_bias", False)
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    normed = config.flag("use_qk_norm", False)
    config.require(not (second and normed), "'use_qk_norm' cannot be true for a second generation")
    if normed:
        attention = _normed(attention, sizes, epsilon)
    reaches = _read_reaches(config, sizes) if second else (Everything(),) * sizes.layers
    inner = config.integer("intermediate_size")
    feed_forward = GatedMlp(sizes.width, inner, config.activation("hidden_act", "silu"))
    norm = Norm(sizes.width, epsilon, "layer")
    layers = (
        Layer(
            replace(attention, reach=reach, positions=_positions(reach, rotary, second)),
            Residual(norm),
            feed_forward,
            parallel=True,
        )
        for reach in reaches
    )
    tied = config.flag("tie_word_embeddings", True)
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=rotary)
    scale = config.number("logit_scale", 0.0625, positive=True)
    return replace(decoder, output=replace(decoder.output, scale=scale))


def _normed(attention: Attention, sizes: Dimensions, epsilon: float) -> Attention:
    """Return attention that norms each query and key head, with weights of its own."""
    heads, kv_heads, width = sizes.heads, sizes.kv_heads, sizes.head_width
    return replace(
        attention,
        query_norm=Norm(heads * width, epsilon, "layer", groups=heads),
        key_norm=Norm(kv_heads * width, epsilon, "layer", groups=kv_heads),
    )


def _read_reaches(config: Config, sizes: Dimensions) -> tuple[Reach, ...]:
    config = with_defaults(config, {"sliding_window": 4096})
    pattern = config.integer("sliding_window_pattern", 4)  # the last of so many sees everything
    window = config.optional_integer("sliding_window")
    return read_reaches(config, sizes.layers, window, lambda index: (index + 1) % pattern != 0)


def _positions(reach: Reach, rotary: Rotary, second: bool) -> Rotary | None:
    return None if second and isinstance(reach, Everything) else rotary


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, *_head_norms(spec, "model.layers.{layer}.self_attn.{side}_norm"))


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF stores the norms of heads as the publisher does, a row per head."""
    return _head_norms(spec, "blk.{layer}.attn_{side}_norm")


def _head_norms(spec: Decoder, theirs: str) -> list[Rule]:
    """Return the rules of head norms, stored a row per head; ours is one vector."""
    attention = spec.mixer(Attention)
    heads = {"query": attention.heads, "key": attention.kv_heads}
    width = attention.head_width
    return [
        rename(
            theirs.replace("{side}", side[0]),
            f"layers.{{layer}}.mixer.{side}_norm",
            Reshape((count, width), (count * width,)),
        )
        for side, count in heads.items()
    ]


DIALECT = Dialect("cohere", read, rules, prefix="model.", gguf_rules=gguf_rules)
