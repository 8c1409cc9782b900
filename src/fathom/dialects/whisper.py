"""Whisper and what was distilled from it: speech to text (Radford et al., 2022, arXiv 2212.04356).

Layers are BART's with the norms first, and no bias on keys. The tower has convolutions where a
text model has tokens. Distil-Whisper (Gandhi et al., 2023, arXiv 2311.00430) keeps the tower and
few layers of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.spec.attention import Attention
from fathom.spec.audio import SoundEncoder
from fathom.spec.decoder import Embedding, Layer, Output, Residual
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer, Stack
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm, Table, convolution
from fathom.spec.speech import Speech

EPSILON = 1e-5  # no configuration states it
KNOWN = ("Model", "ForConditionalGeneration")  # how the names of architectures end


def read(config: Config) -> Speech:
    """Return the tower and the decoder that a configuration states.

    `scale_embedding` is not read: the publisher's own code and transformers compute alike
    whatever it says.
    """
    architecture = str(next(iter(config.items("architectures", ())), "Model"))
    config.require(
        architecture.endswith(KNOWN),
        f"the architecture '{architecture}' has a head that is not supported; supported endings"
        f" are {' and '.join(KNOWN)}",
    )
    width, vocabulary = config.integer("d_model"), config.integer("vocab_size")
    context = config.integer("max_target_positions", 448)
    embedding = Embedding(vocabulary, width, positions=Table(context, width))
    own, feed_forward = _parts(config, "decoder")
    cross = CrossAttention(width, own.heads, own.head_width, bias=True, key_bias=False)
    norm = Norm(width, EPSILON, "layer", bias=True)
    first = Residual(before=norm)
    layer = CrossLayer(own, first, cross, first, feed_forward, first)
    count = config.integer("decoder_layers", most=10_000)
    return Speech(
        context=context,
        encoder=read_tower(config),
        decoder=Stack(embedding, (layer,) * count, norm),
        output=Output(width, vocabulary, tied=config.flag("tie_word_embeddings", True)),
    )


def read_tower(config: Config, pooled: int = 1) -> SoundEncoder:
    """Return the tower that hears; other publishers state theirs by the same keys."""
    width = config.integer("d_model")
    norm = Norm(width, EPSILON, "layer", bias=True)
    mixer, feed_forward = _parts(config, "encoder")
    layer = Layer(mixer, Residual(before=norm), feed_forward, Residual(before=norm))
    return SoundEncoder(
        first=convolution(config.integer("num_mel_bins", 80), width, axes=1),
        second=convolution(width, width, axes=1, stride=2),
        positions=Table(config.integer("max_source_positions", 1500), width),
        layers=(layer,) * config.integer("encoder_layers", most=10_000),
        norm=norm,
        pooled=pooled,
    )


def _parts(config: Config, side: str) -> tuple[Attention, Mlp]:
    """Return the parts that the layers of both halves have."""
    width = config.integer("d_model")
    heads = config.integer(f"{side}_attention_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    attention = Attention(
        width,
        heads,
        heads,
        width // heads,
        causal=side == "decoder",
        input_bias=True,
        output_bias=True,
        key_bias=False,
    )
    inner = config.integer(f"{side}_ffn_dim")
    return attention, Mlp(width, inner, config.activation("activation_function", "gelu"))


def rules(spec: Speech) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *tower_rules("model.encoder", "encoder"),
        rename("model.decoder.embed_tokens", "decoder.embedding.tokens"),
        rename("model.decoder.embed_positions", "decoder.embedding.positions"),
        rename("model.decoder.layer_norm", "decoder.norm"),
        *layer_rules("model.decoder", "decoder"),
        *_attention_rules("model.decoder", "decoder", "encoder_attn", "cross"),
        drop("proj_out") if spec.output.tied else rename("proj_out", "output.head"),
    )


def tower_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of a tower that hears."""
    names: Mapping[str, str] = {
        "conv1": "first",
        "conv2": "second",
        "embed_positions": "positions",
        "layer_norm": "norm",
    }
    renamed = (rename(f"{theirs}.{name}", f"{ours}.{own}") for name, own in names.items())
    return (*renamed, *layer_rules(theirs, ours))


def layer_rules(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of the layers of one half, as far as both have the same."""
    layer, own = f"{theirs}.layers.{{layer}}", f"{ours}.layers.{{layer}}"
    return (
        *_attention_rules(theirs, ours, "self_attn", "mixer"),
        rename(f"{layer}.fc1", f"{own}.feed_forward.up"),
        rename(f"{layer}.fc2", f"{own}.feed_forward.down"),
        rename(f"{layer}.final_layer_norm", f"{own}.feed_forward_residual.before"),
    )


def _attention_rules(theirs: str, ours: str, part: str, own_part: str) -> Sequence[Rule]:
    layer, own = f"{theirs}.layers.{{layer}}.{part}", f"{ours}.layers.{{layer}}.{own_part}"
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
    renamed = (rename(f"{layer}.{name}", f"{own}.{mine}") for name, mine in names.items())
    return (*renamed, rename(f"{layer}_layer_norm", f"{own}_residual.before"))


DIALECT = Dialect("whisper", read, rules, prefix="model.")
