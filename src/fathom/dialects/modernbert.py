"""ModernBERT: rotary positions, local and global layers by turns, gated feed-forwards.

Warner et al., 2024 (arXiv 2412.13663).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.heads import read_kind, read_labels, read_task
from fathom.dialects.rotary import read_rotary
from fathom.dialects.rules import Rule, drop, rename, split
from fathom.spec.attention import Attention, Everything, Reach, Window
from fathom.spec.decoder import Embedding, Layer, Output, Residual
from fathom.spec.encoder import Encoder
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.heads import Head, MaskedHead, SequenceHead, SpanHead, TokenHead, Transform
from fathom.spec.parts import Norm

# Kind of layer → the key of its own rotary base in files of before transformers 5, and its default.
_BASES = {
    "full_attention": ("global_rope_theta", 160_000.0),
    "sliding_attention": ("local_rope_theta", 10_000.0),
}


def read(config: Config) -> Encoder:
    """Return the encoder that a configuration of this family states."""
    width = config.integer("hidden_size")
    context = config.integer("max_position_embeddings", 8192)
    vocabulary = config.integer("vocab_size")
    norm = Norm(
        width,
        config.number("norm_eps", 1e-5, positive=True),
        "layer",
        bias=config.flag("norm_bias", False),
    )
    feed_forward = GatedMlp(
        width,
        config.integer("intermediate_size"),
        config.activation("hidden_activation", "gelu"),
        config.flag("mlp_bias", False),
    )
    layers = [
        Layer(_attention(config, kind), Residual(before=norm), feed_forward, Residual(before=norm))
        for kind in _kinds(config)
    ]
    layers[0] = replace(layers[0], mixer_residual=Residual())  # the embedding was just normed
    return Encoder(
        context=context,
        embedding=Embedding(vocabulary, width, norm=norm),
        layers=tuple(layers),
        norm=norm,
        head=_head(config, width, norm),
    )


def _kinds(config: Config) -> list[str]:
    """Return the kind of each layer, stated one by one or as every how many are global."""
    count = config.integer("num_hidden_layers", most=10_000)
    if "layer_types" not in config:
        period = config.integer("global_attn_every_n_layers", 3)
        return ["sliding_attention" if i % period else "full_attention" for i in range(count)]
    kinds = [str(kind) for kind in config.items("layer_types")]
    config.require(
        len(kinds) == count and set(kinds) <= set(_BASES),
        f"'layer_types' must name one of {', '.join(_BASES)} for each of {count} layers",
    )
    return kinds


def _attention(config: Config, kind: str) -> Attention:
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    key, base = _BASES[kind]
    own = config.section("rope_parameters").section(kind)
    context = config.integer("max_position_embeddings", 8192)
    bias = config.flag("attention_bias", False)
    reach: Reach = Everything()
    if kind == "sliding_attention":  # half of the window on either side, and the token itself
        reach = Window(config.integer("local_attention", 128) // 2 + 1)
    return Attention(
        width,
        heads,
        heads,
        width // heads,
        positions=read_rotary(
            own if own.values else config,
            width // heads,
            context=context,
            base=config.number(key, base, positive=True),
        ),
        reach=reach,
        causal=False,
        input_bias=bias,
        output_bias=bias,
    )


def _head(config: Config, width: int, norm: Norm) -> Head | None:
    transform = Transform(
        width,
        config.activation("classifier_activation", "gelu"),
        norm,
        bias=config.flag("classifier_bias", False),
    )
    match read_task(config):
        case "mask":
            tied = config.flag("tie_word_embeddings", True)
            bias = config.flag("decoder_bias", True)
            return MaskedHead(transform, Output(width, config.integer("vocab_size"), tied, bias))
        case "sequence":
            labels = read_labels(config)
            pooling = config.choice("classifier_pooling", ("cls", "mean"), "cls")
            return SequenceHead(
                width,
                labels,
                read_kind(config, len(labels)),
                transform,
                reads="mean" if pooling == "mean" else "first",
            )
        case "tokens":
            return TokenHead(width, read_labels(config), transform)
        case "span":
            return SpanHead(width, transform)
        case "none":
            return None


def rules(spec: Encoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    part, inner = spec.width, _inner(spec)
    mixer = {f"{ours}.mixer.{name}": part for name in ("query", "key", "value")}
    feed_forward = {f"{ours}.feed_forward.{name}": inner for name in ("gate", "up")}
    tied = isinstance(spec.head, MaskedHead) and spec.head.output.tied
    return (
        rename("model.embeddings.tok_embeddings", "embedding.tokens"),
        rename("model.embeddings.norm", "embedding.norm"),
        rename(f"{theirs}.attn_norm", f"{ours}.mixer_residual.before"),
        split(f"{theirs}.attn.Wqkv", mixer),
        rename(f"{theirs}.attn.Wo", f"{ours}.mixer.output"),
        rename(f"{theirs}.mlp_norm", f"{ours}.feed_forward_residual.before"),
        split(f"{theirs}.mlp.Wi", feed_forward),
        rename(f"{theirs}.mlp.Wo", f"{ours}.feed_forward.down"),
        rename("model.final_norm", "norm"),
        rename("head.dense", "head.transform.dense"),
        rename("head.norm", "head.transform.norm"),
        rename("decoder.bias", "head.output.bias"),
        drop("decoder") if tied else rename("decoder", "head.output.head"),
        rename("classifier", "head.scores"),
    )


def _inner(spec: Encoder) -> int:
    feed_forward = spec.layers[0].feed_forward
    return feed_forward.inner if isinstance(feed_forward, GatedMlp) else 0


DIALECT = Dialect("modernbert", read, rules, prefix="model.")
