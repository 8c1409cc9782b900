"""StableLM 2 and 3B (Bellagente et al., 2024, arXiv 2402.17834).

Llama with layer norms and a quarter of each head turned; the 12B model runs attention and
feed-forward side by side and norms every query and key head by weights of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Reshape, Rule, join, rename
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=4096)
    epsilon = config.number("layer_norm_eps", 1e-5, positive=True)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, fraction=0.25)
    attention = replace(sizes.attention(rotary), input_bias=config.flag("use_qkv_bias", False))
    if config.flag("qk_layernorm", False):
        heads, kv_heads, width = sizes.heads, sizes.kv_heads, sizes.head_width
        attention = replace(
            attention,
            query_norm=Norm(heads * width, epsilon, "layer", groups=heads),
            key_norm=Norm(kv_heads * width, epsilon, "layer", groups=kv_heads),
        )
    inner = config.integer("intermediate_size")
    feed_forward = GatedMlp(sizes.width, inner, config.activation("hidden_act", "silu"))
    norm = Norm(sizes.width, epsilon, "layer", bias=True)
    if config.flag("use_parallel_residual", False):
        layer = Layer(attention, Residual(norm), feed_forward, parallel=True)
    else:
        layer = Layer(attention, Residual(norm), feed_forward, Residual(norm))
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder([layer] * sizes.layers, norm, tied=tied, rotary=rotary)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, which has a norm per head, and ours."""
    attention = spec.mixer(Attention)
    theirs = "model.layers.{{layer}}.self_attn.{side}_layernorm.norms.{head}"
    norms = [
        join(
            {theirs.format(side=side[0], head=head): attention.head_width for head in range(count)},
            f"layers.{{layer}}.mixer.{side}_norm",
        )
        for side, count in _counts(attention).items()
    ]
    return trunk_rules(spec, *norms)


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF stacks the norms of heads, a row per head."""
    attention = spec.mixer(Attention)
    return [
        rename(
            f"blk.{{layer}}.attn_{side[0]}_norm",
            f"layers.{{layer}}.mixer.{side}_norm",
            Reshape((count, attention.head_width), (count * attention.head_width,)),
        )
        for side, count in _counts(attention).items()
    ]


def _counts(attention: Attention) -> dict[str, int]:
    return {"query": attention.heads, "key": attention.kv_heads}


DIALECT = Dialect("stablelm", read, rules, prefix="model.", gguf_rules=gguf_rules)
