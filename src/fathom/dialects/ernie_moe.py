"""ERNIE 4.5 with experts (21B-A3B, 300B-A47B): Baidu, 2025, technical report of ERNIE 4.5.

Llama-like layers with interleaved rotary pairs; a bias per expert corrects the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, OURS, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Reshape, Rule, drop, rename
from fathom.dialects.trunk import Dimensions, read_dimensions, trunk_rules
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=131072)
    rotary = read_rotary(
        config, sizes.head_width, context=sizes.context, base=5e5, interleaved=True
    )
    bias, tied = config.flag("use_bias", False), config.flag("tie_word_embeddings", True)
    config.require(not (bias and tied), "'use_bias' asks for a bias on an output that is tied")
    attention = replace(sizes.attention(rotary), input_bias=bias, output_bias=bias)
    activation = config.activation("hidden_act", "silu")
    dense = GatedMlp(sizes.width, config.integer("intermediate_size"), activation, bias)
    experts = _experts(config, sizes, bias)
    sparse = _sparse_layers(config, sizes.layers)
    norm = Norm(sizes.width, config.number("rms_norm_eps", 1e-5, positive=True))
    layers = (
        pre_norm(attention, experts if index in sparse else dense, norm)
        for index in range(sizes.layers)
    )
    decoder = sizes.decoder(layers, norm, tied=tied, rotary=rotary)
    return replace(decoder, output=replace(decoder.output, bias=bias))


def _experts(config: Config, sizes: Dimensions, bias: bool) -> Experts:
    router = read_router(config, sizes.width, counts=("moe_num_experts",), active="moe_k")
    activation = config.activation("hidden_act", "silu")
    inner = config.integer("moe_intermediate_size")
    shared = config.integer("moe_num_shared_experts", 2, least=0)
    return Experts(
        router=replace(
            router,
            renormalise=True,
            floor=config.number("moe_norm_min", 1e-12),
            correction=config.flag("moe_use_aux_free", True),
        ),
        inner=inner,
        activation=activation,
        shared=GatedMlp(sizes.width, inner * shared, activation, bias) if shared else None,
    )


def _sparse_layers(config: Config, layers: int) -> frozenset[int]:
    """Return the layers with experts: every n-th one between two."""
    first = config.integer("moe_layer_start_index", 1, least=0)
    last = config.integer("moe_layer_end_index", -1, least=-1)
    last = layers - 1 if last == -1 else last
    step = config.integer("moe_layer_interval", 1)
    return frozenset(
        index for index in range(layers) if (index + 1) % step == 0 and first <= index <= last
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    routers = [part.router for part in _mixtures(spec)]
    count = routers[0].experts if routers else 0
    return trunk_rules(
        spec,
        rename(
            f"{LAYER}.mlp.moe_statics.e_score_correction_bias",
            f"{OURS}.router.correction",
            Reshape((1, count), (count,)),
        ),
        *expert_rules(f"{LAYER}.mlp"),
        drop("model.mtp_**"),  # predicts further tokens in training
    )


def _mixtures(spec: Decoder) -> list[Experts]:
    return [layer.feed_forward for layer in spec.layers if isinstance(layer.feed_forward, Experts)]


DIALECT = Dialect("ernie-moe", read, rules, prefix="model.")
