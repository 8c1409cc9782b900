"""SantaCoder, StarCoder and StarCoderBase: GPT-2 with one key head.

Li et al., 2023 (arXiv 2305.06161).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects import gpt2
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, rename
from fathom.dialects.trunk import fused_attention, fused_gguf_rules, read_dimensions
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(gpt2.NAMES)
    gpt2.refuse_cross_attention(config)
    sizes = read_dimensions(config, context=1024)
    one_key_head = config.flag("multi_query", True)
    sizes = replace(sizes, kv_heads=1 if one_key_head else sizes.heads)
    scale = gpt2.read_scale(config, sizes)
    attention = replace(sizes.attention(), input_bias=True, output_bias=True, scale=scale)
    return gpt2.decoder(config, sizes, [attention] * sizes.layers, activation="gelu_pytorch_tanh")


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours.

    With one key head the fused rows are query, key, value; otherwise each head has all three.
    """
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    attention = spec.mixer(Attention)
    return gpt2.trunk_rules(
        spec,
        fused_attention(f"{theirs}.attn.c_attn", spec, groups=attention.kv_heads),
        rename(f"{theirs}.attn.c_proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.mlp.c_fc", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.c_proj", f"{ours}.feed_forward.down"),
    )


DIALECT = Dialect("gpt_bigcode", read, rules, prefix="transformer.", gguf_rules=fused_gguf_rules)
