"""BART and its kin: mBART, Pegasus, Marian.

Two stacks of ordinary layers with biases everywhere. They differ in where norms stand and in how
a token learns its position. BART: Lewis et al., 2019 (arXiv 1910.13461); mBART: Liu et al., 2020
(arXiv 2001.08210); Pegasus: Zhang et al., 2019 (arXiv 1912.08777); Marian: Junczys-Dowmunt et
al., 2018 (arXiv 1804.00344).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Reshape, Rule, drop, rename
from fathom.spec.attention import Attention
from fathom.spec.decoder import Embedding, Layer, Output, Residual
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer, EncoderDecoder, Stack
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm, Table
from fathom.spec.positions import Sinusoid

FREE_ROWS = 2  # of learned positions, before the first one
EPSILON = 1e-5  # no configuration states it


@dataclass(frozen=True)
class Shape:
    """What sets one of the kin apart."""

    norm_first: bool  # before each part, and one at the end of a stack
    normed_embedding: bool
    learned_positions: bool


SHAPES: Mapping[str, Shape] = {
    "bart": Shape(norm_first=False, normed_embedding=True, learned_positions=True),
    "mbart": Shape(norm_first=True, normed_embedding=True, learned_positions=True),
    "pegasus": Shape(norm_first=True, normed_embedding=False, learned_positions=False),
    "marian": Shape(norm_first=False, normed_embedding=False, learned_positions=False),
}


def read(config: Config) -> EncoderDecoder:
    """Return the pair of stacks that a configuration of this family states."""
    shape = _shape(config)
    width, vocabulary = config.integer("d_model"), config.integer("vocab_size")
    tied = config.flag("tie_word_embeddings", True)
    shared = config.flag("share_encoder_decoder_embeddings", True)
    if not tied and config.holds("decoder.embed_tokens.weight", unknown=False):
        shared = False  # transformers 5 then unties the tables as well as the output
    own = config.integer("decoder_vocab_size", vocabulary)  # of a decoder that shares no table
    written = vocabulary if shared else own
    return EncoderDecoder(
        context=config.integer("max_position_embeddings", 1024),
        encoder=_stack(config, shape, "encoder", Embedding(vocabulary, width)),
        decoder=_stack(config, shape, "decoder", Embedding(written, width, shared=shared)),
        output=Output(width, written, tied, bias=config.holds("final_logits_bias")),
    )


def _shape(config: Config) -> Shape:
    """Return the shape of this one of the kin, after making sure that the file does not differ."""
    shape = SHAPES[config.choice("model_type", SHAPES)]
    architecture = str(next(iter(config.items("architectures", ())), "Model"))
    config.require(
        architecture.endswith(("Model", "ForConditionalGeneration")),
        f"the architecture '{architecture}' has a head that is not supported; supported endings"
        " are Model, MTModel and ForConditionalGeneration",
    )
    stated = {  # keys of files from before each had a model type of its own
        "normalize_before": shape.norm_first,
        "add_final_layer_norm": shape.norm_first,
        "normalize_embedding": shape.normed_embedding,
        "static_position_embeddings": not shape.learned_positions,
    }
    for key, usual in stated.items():
        config.require(
            config.flag(key, usual) == usual, f"'{key}' is not what this architecture has"
        )
    return shape


def _stack(config: Config, shape: Shape, side: str, tokens: Embedding) -> Stack:
    width = tokens.width
    heads = config.integer(f"{side}_attention_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    norm = Norm(width, EPSILON, "layer", bias=True)
    residual = Residual(before=norm) if shape.norm_first else Residual(closing=norm)
    feed_forward = Mlp(
        width,
        config.integer(f"{side}_ffn_dim"),
        config.activation("activation_function", "gelu"),
    )
    attention = Attention(
        width,
        heads,
        heads,
        width // heads,
        causal=side == "decoder",
        input_bias=True,
        output_bias=True,
    )
    layer: Layer | CrossLayer = Layer(attention, residual, feed_forward, residual)
    if side == "decoder":
        cross = CrossAttention(width, heads, width // heads, bias=True)
        layer = CrossLayer(attention, residual, cross, residual, feed_forward, residual)
    rows = config.integer("max_position_embeddings", 1024) + FREE_ROWS
    scaled = config.flag("scale_embedding", False)
    return Stack(
        Embedding(
            tokens.vocabulary,
            width,
            scale=width**0.5 if scaled else 1.0,
            positions=Table(rows, width) if shape.learned_positions else Sinusoid(width),
            position_offset=FREE_ROWS if shape.learned_positions else 0,
            norm=norm if shape.normed_embedding else None,
            shared=tokens.shared,
        ),
        (layer,) * config.integer(f"{side}_layers", most=10_000),
        norm if shape.norm_first else None,
    )


def rules(spec: EncoderDecoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    count = spec.vocabulary
    bias = "output.bias" if spec.output.tied else "output.head.bias"
    shared = spec.decoder.embedding.shared
    return (
        *_tables(shared),
        *_stack_rules("encoder"),
        *_stack_rules("decoder"),
        *_attention_rules("decoder", "encoder_attn", "cross"),
        rename("final_logits_bias", bias, Reshape((1, count), (count,))),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def _tables(shared: bool) -> Sequence[Rule]:
    if not shared:
        return (
            rename("model.encoder.embed_tokens", "encoder.embedding.tokens"),
            rename("model.decoder.embed_tokens", "decoder.embedding.tokens"),
            drop("model.shared"),
        )
    return (
        rename("model.shared", "encoder.embedding.tokens"),
        drop("model.encoder.embed_tokens"),  # the same table again
        drop("model.decoder.embed_tokens"),
    )


def _stack_rules(side: str) -> Sequence[Rule]:
    theirs, ours = f"model.{side}.layers.{{layer}}", f"{side}.layers.{{layer}}"
    # The one norm or the other of each pair exists.
    return (
        rename(f"model.{side}.embed_positions", f"{side}.embedding.positions"),
        drop(f"model.{side}.embed_positions"),  # waves that some files store
        rename(f"model.{side}.layernorm_embedding", f"{side}.embedding.norm"),
        rename(f"model.{side}.layer_norm", f"{side}.norm"),
        *_attention_rules(side, "self_attn", "mixer"),
        rename(f"{theirs}.fc1", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.fc2", f"{ours}.feed_forward.down"),
        rename(f"{theirs}.final_layer_norm", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.final_layer_norm", f"{ours}.feed_forward_residual.closing"),
    )


def _attention_rules(side: str, theirs: str, ours: str) -> Sequence[Rule]:
    theirs = f"model.{side}.layers.{{layer}}.{theirs}"
    ours = f"{side}.layers.{{layer}}.{ours}"
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
    return (
        *(rename(f"{theirs}.{name}", f"{ours}.{own}") for name, own in names.items()),
        rename(f"{theirs}_layer_norm", f"{ours}_residual.before"),
        rename(f"{theirs}_layer_norm", f"{ours}_residual.closing"),
    )


DIALECT = Dialect("bart", read, rules, prefix="model.")
