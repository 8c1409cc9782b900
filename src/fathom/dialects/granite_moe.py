"""Granite 3.0 and 3.1 with experts (1B-A400M, 3B-A800M): IBM, 2024.

Granite's multipliers on embeddings, scores, residuals and logits; experts stored as one tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.llama import gguf_rules
from fathom.dialects.mixtures import LAYER, OURS, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, rename, split
from fathom.dialects.trunk import read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    bias = config.flag("attention_bias", False)
    attention = replace(
        sizes.attention(rotary),
        input_bias=bias,
        output_bias=bias,
        scale=config.number("attention_multiplier", 1.0, positive=True),
    )
    experts = Experts(
        # A softmax over the chosen scores alone equals one over all, renormalised.
        read_router(config, sizes.width, renormalise=True),
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "silu"),
    )
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-6, positive=True))
    scale = config.number("residual_multiplier", 1.0)
    layers = (pre_norm(attention, experts, norm, scale),) * sizes.layers
    tied = config.flag("tie_word_embeddings", False)
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=rotary)
    logits = 1.0 / config.number("logits_scaling", 1.0, positive=True)
    embedding = config.number("embedding_multiplier", 1.0)
    return replace(
        decoder,
        embedding=replace(decoder.embedding, scale=embedding),
        output=replace(decoder.output, scale=logits),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    experts = spec.layers[0].feed_forward
    inner = experts.inner if isinstance(experts, Experts) else 0
    theirs = f"{LAYER}.block_sparse_moe"
    return trunk_rules(
        spec,
        rename(f"{theirs}.router.layer", f"{OURS}.router.scores"),
        split(
            f"{theirs}.input_linear",
            {f"{OURS}.experts.gate": inner, f"{OURS}.experts.up": inner},
            axis=1,
        ),
        rename(f"{theirs}.output_linear", f"{OURS}.experts.down"),
    )


DIALECT = Dialect("granite-moe", read, rules, prefix="model.", gguf_rules=gguf_rules)
