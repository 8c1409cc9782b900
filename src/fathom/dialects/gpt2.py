"""GPT-2, and what its successors with learned positions share with it.

Pre-norm layers with biases everywhere, learned positions and a plain feed-forward
(Radford et al., 2019, "Language Models are Unsupervised Multitask Learners").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, Transpose, drop, rename
from fathom.dialects.trunk import Dimensions, fused_attention, fused_gguf_rules, read_dimensions
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm, Table

# Usual key → GPT-2's own.
NAMES: Mapping[str, str] = {
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
    "max_position_embeddings": "n_positions",
    "intermediate_size": "n_inner",
    "hidden_act": "activation_function",
    "layer_norm_eps": "layer_norm_epsilon",
}


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(NAMES)
    sizes = read_dimensions(config, context=1024)
    refuse_cross_attention(config)
    by_layer = config.flag("scale_attn_by_inverse_layer_idx", False)
    scale = read_scale(config, sizes)
    plain = replace(sizes.attention(), input_bias=True, output_bias=True, scale=scale)
    attention = [
        replace(plain, scale=scale / (index + 1)) if by_layer else plain
        for index in range(sizes.layers)
    ]
    return decoder(config, sizes, attention, activation="gelu_new")


def decoder(
    config: Config, sizes: Dimensions, attention: Iterable[Attention], *, activation: str
) -> Decoder:
    """Return pre-norm layers of these attentions over learned positions."""
    width = sizes.width
    norm = Norm(width, config.number("layer_norm_eps", 1e-5, positive=True), "layer", bias=True)
    feed_forward = Mlp(
        width=width,
        inner=config.integer("intermediate_size", 4 * width),
        activation=config.activation("hidden_act", activation),
    )
    residual = Residual(before=norm)
    layers = [Layer(mixer, residual, feed_forward, residual) for mixer in attention]
    tied = config.flag("tie_word_embeddings", True)
    plain = sizes.decoder(layers, norm, tied=tied)
    positions = Table(sizes.context, width)
    return replace(plain, embedding=replace(plain.embedding, positions=positions))


def read_scale(config: Config, sizes: Dimensions) -> float:
    """Return what scores are multiplied with; a flag of GPT-2's leaves them as they are."""
    return sizes.head_width**-0.5 if config.flag("scale_attn_weights", True) else 1.0


def refuse_cross_attention(config: Config) -> None:
    """Raise for a decoder that reads an encoder, which a lone decoder has not got.

    Raises:
        ConfigError: naming the flag.
    """
    config.require(
        not config.flag("add_cross_attention", False),
        "'add_cross_attention' is true, and a decoder alone has no encoder to attend to",
    )


def trunk_rules(spec: Decoder, *own: Rule) -> tuple[Rule, ...]:
    """Return the names that GPT-2 gave and its successors kept; a dialect's `own` come first."""
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    return (
        *own,
        rename("transformer.wte", "embedding.tokens"),
        rename("transformer.wpe", "embedding.positions"),
        rename(f"{theirs}.ln_1", f"{ours}.mixer_residual.before"),
        drop(f"{theirs}.attn.bias"),  # the causal mask
        drop(f"{theirs}.attn.masked_bias"),
        rename(f"{theirs}.ln_2", f"{ours}.feed_forward_residual.before"),
        rename("transformer.ln_f", "norm"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours; GPT-2 stores inputs first."""
    theirs, ours = "transformer.h.{layer}", "layers.{layer}"
    turned = Transpose()
    return trunk_rules(
        spec,
        fused_attention(f"{theirs}.attn.c_attn", spec, turned),
        rename(f"{theirs}.attn.c_proj", f"{ours}.mixer.output", turned),
        rename(f"{theirs}.mlp.c_fc", f"{ours}.feed_forward.up", turned),
        rename(f"{theirs}.mlp.c_proj", f"{ours}.feed_forward.down", turned),
    )


DIALECT = Dialect("gpt2", read, rules, prefix="transformer.", gguf_rules=fused_gguf_rules)
