"""BioGPT: GPT-2's layout as fairseq writes it, over biomedical text.

Luo et al., 2022 (arXiv 2210.10341).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.opt import EPSILON, OFFSET, layer_rules
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import read_dimensions
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm, Table


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration states; its ``layer_norm_eps`` is never used."""
    sizes = read_dimensions(config, context=1024)
    width = sizes.width
    norm = Norm(width, EPSILON, "layer", bias=True)
    residual = Residual(before=norm)
    attention = replace(sizes.attention(), input_bias=True, output_bias=True)
    activation = config.activation("hidden_act", "gelu")
    feed_forward = Mlp(width, config.integer("intermediate_size"), activation)
    layer = Layer(attention, residual, feed_forward, residual)
    tied = config.flag("tie_word_embeddings", True)
    plain = sizes.decoder([layer] * sizes.layers, norm, tied=tied)
    embedding = replace(
        plain.embedding,
        scale=width**0.5 if config.flag("scale_embedding", True) else 1.0,
        positions=Table(sizes.context + OFFSET, width),
        position_offset=OFFSET,
    )
    return replace(plain, embedding=embedding)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    head = "output_projection"
    return (
        rename("biogpt.embed_tokens", "embedding.tokens"),
        rename("biogpt.embed_positions", "embedding.positions"),
        *layer_rules(spec, "biogpt"),
        rename("biogpt.layer_norm", "norm"),
        drop(head) if spec.output.tied else rename(head, "output.head"),
    )


DIALECT = Dialect("biogpt", read, rules, prefix="biogpt.")
