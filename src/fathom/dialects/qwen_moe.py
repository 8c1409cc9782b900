"""Qwen2-MoE (Qwen1.5-MoE, Qwen2-57B-A14B) and Qwen3-MoE (30B-A3B, 235B-A22B).

Qwen2's layers with routed experts and a shared one behind a gate (arXiv 2407.10671); Qwen3's,
with a norm per head, without the shared expert (arXiv 2505.09388).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import LAYER, OURS, expert_rules, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Reshape, Rule, rename
from fathom.dialects.trunk import Dimensions, read_dimensions, read_reaches, trunk_rules
from fathom.spec.attention import Attention, Reach
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    sizes = read_dimensions(config, context=32768)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context)
    epsilon = config.number("rms_norm_eps", 1e-6, positive=True)
    attention = _attention(config, sizes, rotary, epsilon)
    activation = config.activation("hidden_act", "silu")
    dense = GatedMlp(sizes.width, config.integer("intermediate_size"), activation)
    experts = _experts(config, sizes.width)
    sparse = sparse_layers(config, sizes.layers)
    norm = Norm(sizes.width, epsilon)
    layers = (
        pre_norm(replace(attention, reach=reach), experts if index in sparse else dense, norm)
        for index, reach in enumerate(_reaches(config, sizes.layers))
    )
    tied = config.flag("tie_word_embeddings", False)
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def _is_third(config: Config) -> bool:
    return config.text("model_type") == "qwen3_moe"


def _attention(config: Config, sizes: Dimensions, rotary: Rotary, epsilon: float) -> Attention:
    """Return Qwen2's attention, with biases going in, or Qwen3's, with a norm per head."""
    plain = sizes.attention(rotary)
    if not _is_third(config):
        return replace(plain, input_bias=config.flag("qkv_bias", True))
    bias = config.flag("attention_bias", False)
    norm = Norm(sizes.head_width, epsilon)
    return replace(plain, query_norm=norm, key_norm=norm, input_bias=bias, output_bias=bias)


def _experts(config: Config, width: int) -> Experts:
    activation = config.activation("hidden_act", "silu")
    shared = None
    if not _is_third(config):
        inner = config.integer("shared_expert_intermediate_size", 5632)
        shared = GatedMlp(width, inner, activation)
    renormalise = config.flag("norm_topk_prob", False)
    return Experts(
        read_router(config, width, renormalise=renormalise),
        inner=config.integer("moe_intermediate_size"),
        activation=activation,
        shared=shared,
        shared_gate=shared is not None,
    )


def sparse_layers(config: Config, layers: int) -> frozenset[int]:
    """Return the layers with experts: every n-th one, but for those named as plain."""
    step = config.integer("decoder_sparse_step", 1)
    plain = config.items("mlp_only_layers", ())
    return frozenset(
        index for index in range(layers) if (index + 1) % step == 0 and index not in plain
    )


def _reaches(config: Config, layers: int) -> tuple[Reach, ...]:
    """Return each layer's reach: Qwen3 slides in all layers, Qwen2 in every second one."""
    window = None
    if config.flag("use_sliding_window", False):
        window = config.optional_integer("sliding_window")
    if _is_third(config):
        return read_reaches(config, layers, window, lambda index: True)
    first = config.integer("max_window_layers", 28, least=0)
    return read_reaches(config, layers, window, lambda index: index % 2 == 0 and index < first)


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return trunk_rules(spec, *expert_rules(f"{LAYER}.mlp", shared="shared_expert"))


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps the shared expert's gate, a map to one number, as a vector."""
    flat = Reshape((spec.width,), (1, spec.width))
    return (rename("blk.{layer}.ffn_gate_inp_shexp.weight", f"{OURS}.shared_gate.weight", flat),)


DIALECT = Dialect("qwen-moe", read, rules, prefix="model.", gguf_rules=gguf_rules)
