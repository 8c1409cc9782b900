"""DBRX: sixteen fine-grained experts, clipped queries, keys and values in one map.

Databricks, 2024, as published with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.mixtures import OURS, pre_norm, read_router
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Reshape, Rule, Transpose, rename, split
from fathom.dialects.trunk import Dimensions, with_defaults
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder
from fathom.spec.experts import Experts
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    own = config.section("attn_config")
    sizes = _dimensions(config, own)
    base = own.number("rope_theta", 10000.0, positive=True)
    rotary = read_rotary(config, sizes.head_width, context=sizes.context, base=base)
    attention = replace(
        sizes.attention(rotary), clip=own.optional_number("clip_qkv", positive=True)
    )
    norm = Norm(sizes.width, 1e-5, kind="layer")
    experts = _experts(config.section("ffn_config"), sizes.width)
    tied = config.flag("tie_word_embeddings", False)
    layers = (pre_norm(attention, experts, norm),) * sizes.layers
    return sizes.decoder(layers, norm, tied=tied, rotary=rotary)


def _dimensions(config: Config, own: Config) -> Dimensions:
    width, heads = config.integer("d_model"), config.integer("n_heads")
    kv_heads = own.integer("kv_n_heads", 1)
    config.require(heads % kv_heads == 0, f"{kv_heads} key heads cannot share {heads} heads evenly")
    return Dimensions(
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=width // heads,
        layers=config.integer("n_layers", most=10_000),
        vocabulary=config.integer("vocab_size"),
        context=config.integer("max_seq_len", 2048),
    )


def _experts(own: Config, width: int) -> Experts:
    """Return the experts; their weights are divided by their sum, or left as they are."""
    own = with_defaults(own, {"moe_normalize_expert_weights": 1.0})
    power = own.optional_number("moe_normalize_expert_weights")
    own.require(power in (None, 1.0), f"'moe_normalize_expert_weights' must be 1 or null: {power}")
    activation = own.section("ffn_act_fn")
    return Experts(
        read_router(
            own,
            width,
            counts=("moe_num_experts",),
            active="moe_top_k",
            renormalise=power is not None,
        ),
        inner=own.integer("ffn_hidden_size", 3584),
        activation=activation.activation("name", "silu"),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    experts = spec.layers[0].feed_forward
    if not isinstance(experts, Experts):
        return ()
    count, inner, width = experts.router.experts, experts.inner, spec.width
    unfold = Reshape((count * inner, width), (count, inner, width))
    theirs, ours = "transformer.blocks.{layer}", "layers.{layer}"
    norms = f"{theirs}.norm_attn_norm"
    return (
        rename("transformer.wte", "embedding.tokens"),
        rename(f"{norms}.norm_1", f"{ours}.mixer_residual.before"),
        split(f"{norms}.attn.Wqkv", _thirds(spec)),
        rename(f"{norms}.attn.out_proj", f"{ours}.mixer.output"),
        rename(f"{norms}.norm_2", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.ffn.router.layer", f"{OURS}.router.scores"),
        rename(f"{theirs}.ffn.experts.mlp.w1", f"{OURS}.experts.gate.weight", unfold),
        rename(f"{theirs}.ffn.experts.mlp.v1", f"{OURS}.experts.up.weight", unfold),
        rename(f"{theirs}.ffn.experts.mlp.w2", f"{OURS}.experts.down.weight", unfold, Transpose()),
        rename("transformer.norm_f", "norm"),
        rename("lm_head", "output.head"),
    )


def _thirds(spec: Decoder) -> dict[str, int]:
    """Return the parts of the map that queries, keys and values share, with their widths."""
    attention = spec.mixer(Attention)
    query, key = (n * attention.head_width for n in (attention.heads, attention.kv_heads))
    widths = {"query": query, "key": key, "value": key}
    return {f"layers.{{layer}}.mixer.{name}": width for name, width in widths.items()}


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps the shared map, and calls the second norm that of the attention's output."""
    return (
        split("blk.{layer}.attn_qkv", _thirds(spec)),
        rename("blk.{layer}.attn_output_norm", "layers.{layer}.feed_forward_residual.before"),
    )


DIALECT = Dialect("dbrx", read, rules, prefix="transformer.", gguf_rules=gguf_rules)
