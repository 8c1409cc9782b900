"""BERT and what is built like it: MiniLM, E5, BGE, GTE …

Attention in both directions and a plain feed-forward, each closed by a layer norm.
Devlin et al., 2018 (arXiv 1810.04805).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.heads import read_kind, read_labels, read_task
from fathom.dialects.rules import Rule, drop, rename
from fathom.spec.attention import Attention
from fathom.spec.decoder import Embedding, Layer, Output, Residual
from fathom.spec.encoder import Encoder
from fathom.spec.feed_forward import Mlp
from fathom.spec.heads import (
    Head,
    MaskedHead,
    SequenceHead,
    SpanHead,
    SummaryHead,
    TokenHead,
    Transform,
)
from fathom.spec.parts import Norm, Table


def read(config: Config) -> Encoder:
    """Return the encoder that a configuration of this family states."""
    return read_encoder(config)


def read_encoder(config: Config, offset: int = 0) -> Encoder:
    """Return an encoder of these layers; `offset` is the row of its first position."""
    width = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    rows = config.integer("max_position_embeddings", 512)
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    config.require(offset < rows, "'max_position_embeddings' leaves no position")
    config.require(
        not config.flag("is_decoder", False) and not config.flag("add_cross_attention", False),
        "an encoder turned decoder ('is_decoder', 'add_cross_attention') is not supported",
    )
    types = config.integer("type_vocab_size", 2, least=0)
    config.choice("position_embedding_type", ("absolute",), "absolute")
    norm = Norm(width, config.number("layer_norm_eps", 1e-12, positive=True), "layer", bias=True)
    attention = Attention(
        width, heads, heads, width // heads, causal=False, input_bias=True, output_bias=True
    )
    feed_forward = Mlp(
        width, config.integer("intermediate_size"), config.activation("hidden_act", "gelu")
    )
    layer = Layer(attention, Residual(closing=norm), feed_forward, Residual(closing=norm))
    return Encoder(
        context=rows - offset,
        embedding=Embedding(
            config.integer("vocab_size"),
            width,
            positions=Table(rows, width),
            position_offset=offset,
            token_types=Table(types, width) if types else None,
            norm=norm,
        ),
        layers=(layer,) * config.integer("num_hidden_layers", most=10_000),
        head=_head(config, width, norm),
    )


def _head(config: Config, width: int, norm: Norm) -> Head | None:
    summary = Transform(width, "tanh")
    match read_task(config):
        case "mask":
            activation = config.activation("hidden_act", "gelu")
            tied = config.flag("tie_word_embeddings", True)
            output = Output(width, config.integer("vocab_size"), tied=tied, bias=True)
            return MaskedHead(Transform(width, activation, norm), output)
        case "sequence":
            labels = read_labels(config)
            return SequenceHead(width, labels, read_kind(config, len(labels)), summary)
        case "tokens":
            return TokenHead(width, read_labels(config))
        case "span":
            return SpanHead(width)
        case "none":
            return SummaryHead(summary) if config.holds("pooler.dense.weight") else None


def rules(spec: Encoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    pooler = rename("bert.pooler.dense", "head.transform.dense")
    return (
        *trunk_rules("bert"),
        *_head_rules(spec.head, pooler),
        drop("bert.pooler.dense"),  # which no other head reads
        drop("cls.seq_relationship"),  # which of two texts comes first: no task of today
    )


def _head_rules(head: Head | None, pooler: Rule) -> Sequence[Rule]:
    predictions = "cls.predictions"
    match head:
        case MaskedHead():
            return (
                rename(f"{predictions}.transform.dense", "head.transform.dense"),
                rename(f"{predictions}.transform.LayerNorm", "head.transform.norm"),
                *output_rules(head, f"{predictions}.decoder", f"{predictions}.bias"),
            )
        case SequenceHead():
            return pooler, rename("classifier", "head.scores")
        case TokenHead():
            return (rename("classifier", "head.scores"),)
        case SpanHead():
            return (rename("qa_outputs", "head.scores"),)
        case SummaryHead():
            return (pooler,)
        case None:
            return ()


def output_rules(head: MaskedHead, table: str, bias: str) -> Sequence[Rule]:
    """A tied output has a bias of its own; some files repeat it beside the table."""
    if not head.output.tied:
        return rename(table, "head.output.head"), drop(bias)
    return rename(bias, "head.output.bias"), drop(table)


def trunk_rules(prefix: str) -> Sequence[Rule]:
    """Return the names below the heads; `prefix` is what a whole model's begin with."""
    embeddings = f"{prefix}.embeddings"
    theirs, ours = f"{prefix}.encoder.layer.{{layer}}", "layers.{layer}"
    return (
        rename(f"{embeddings}.word_embeddings", "embedding.tokens"),
        rename(f"{embeddings}.position_embeddings", "embedding.positions"),
        rename(f"{embeddings}.token_type_embeddings", "embedding.token_types"),
        rename(f"{embeddings}.LayerNorm", "embedding.norm"),
        drop(f"{embeddings}.position_ids"),  # 0, 1, 2, …
        rename(f"{theirs}.attention.self.query", f"{ours}.mixer.query"),
        rename(f"{theirs}.attention.self.key", f"{ours}.mixer.key"),
        rename(f"{theirs}.attention.self.value", f"{ours}.mixer.value"),
        rename(f"{theirs}.attention.output.dense", f"{ours}.mixer.output"),
        rename(f"{theirs}.attention.output.LayerNorm", f"{ours}.mixer_residual.closing"),
        rename(f"{theirs}.intermediate.dense", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.output.dense", f"{ours}.feed_forward.down"),
        rename(f"{theirs}.output.LayerNorm", f"{ours}.feed_forward_residual.closing"),
    )


DIALECT = Dialect("bert", read, rules, prefix="bert.")
