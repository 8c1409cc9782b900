"""Llama 1 to 3.3 and what is built like it: Mistral, SmolLM, Yi, TinyLlama, Vicuna …

Pre-norm layers of grouped-query attention with rotary positions and a gated feed-forward.
Llama: Touvron et al., 2023 (arXiv 2302.13971); Mistral: Jiang et al., 2023 (arXiv 2310.06825).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rotary import read_rotary, stretched
from fathom.dialects.rules import Rule, drop, rename, swap_rotary_pairs
from fathom.spec.attention import Attention, Everything, Window
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    width = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", heads)
    head_width = config.integer("head_dim", width // heads)
    context = config.integer("max_position_embeddings", 2048)
    vocabulary = config.integer("vocab_size")
    config.require(heads % kv_heads == 0, f"{kv_heads} key heads cannot share {heads} heads evenly")

    # Mistral has a window and no biases; Llama states one flag for all four projections.
    window = config.optional_integer("sliding_window") if _is_mistral(config) else None
    bias = False if _is_mistral(config) else config.flag("attention_bias", False)
    norm = Norm(width, config.number("rms_norm_eps", 1e-6, positive=True))
    rotary = read_rotary(config, head_width, context=context)
    attention = Attention(
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        positions=rotary,
        reach=Window(window) if window else Everything(),
        input_bias=bias,
        output_bias=bias,
    )
    feed_forward = GatedMlp(
        width=width,
        inner=config.integer("intermediate_size"),
        activation=config.activation("hidden_act", "silu"),
        bias=config.flag("mlp_bias", False),
    )
    layer = Layer(attention, Residual(before=norm), feed_forward, Residual(before=norm))
    return Decoder(
        context=stretched(context, rotary),
        embedding=Embedding(vocabulary, width),
        layers=(layer,) * config.integer("num_hidden_layers", most=10_000),
        norm=norm,
        output=Output(width, vocabulary, tied=config.flag("tie_word_embeddings", False)),
    )


def _is_mistral(config: Config) -> bool:
    return config.text("model_type", "llama") == "mistral"


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    return (
        rename("model.embed_tokens", "embedding.tokens"),
        rename(f"{theirs}.input_layernorm", f"{ours}.mixer_residual.before"),
        rename(f"{theirs}.self_attn.q_proj", f"{ours}.mixer.query"),
        rename(f"{theirs}.self_attn.k_proj", f"{ours}.mixer.key"),
        rename(f"{theirs}.self_attn.v_proj", f"{ours}.mixer.value"),
        rename(f"{theirs}.self_attn.o_proj", f"{ours}.mixer.output"),
        drop(f"{theirs}.self_attn.rotary_emb.inv_freq"),  # computed from the base
        rename(f"{theirs}.post_attention_layernorm", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.mlp.gate_proj", f"{ours}.feed_forward.gate"),
        rename(f"{theirs}.mlp.up_proj", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.down_proj", f"{ours}.feed_forward.down"),
        rename("model.norm", "norm"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps Llama's query and key rows in pairs (2i, 2i + 1), as Meta's own files do."""
    attention = spec.layers[0].mixer
    query = swap_rotary_pairs(attention.heads, attention.head_width)
    key = swap_rotary_pairs(attention.kv_heads, attention.head_width)
    return (
        rename("blk.{layer}.attn_q", "layers.{layer}.mixer.query", query),
        rename("blk.{layer}.attn_k", "layers.{layer}.mixer.key", key),
    )


DIALECT = Dialect("llama", read, rules, prefix="model.", gguf_rules=gguf_rules)
