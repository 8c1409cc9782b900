"""DistilBERT: half of BERT's layers, no token types (Sanh et al., 2019, arXiv 1910.01108)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.bert import read_encoder
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.spec.encoder import Encoder
from fathom.spec.heads import Head, MaskedHead, SequenceHead, SpanHead, SummaryHead, TokenHead

# The usual key → this publisher's.
NAMES = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}


def read(config: Config) -> Encoder:
    """Return the encoder that a configuration of this family states.

    Sinusoidal positions are stored like learned ones.
    """
    spec = read_encoder(config.spelled(NAMES))
    spec = replace(spec, embedding=replace(spec.embedding, token_types=None))
    match spec.head:
        case SequenceHead(transform=transform) as head if transform is not None:
            head = replace(head, transform=replace(transform, activation="relu"))
            return replace(spec, head=head)
        case SummaryHead():
            return replace(spec, head=None)  # this family has none
    return spec


def rules(spec: Encoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    embeddings = "distilbert.embeddings"
    theirs, ours = "distilbert.transformer.layer.{layer}", "layers.{layer}"
    return (
        rename(f"{embeddings}.word_embeddings", "embedding.tokens"),
        rename(f"{embeddings}.position_embeddings", "embedding.positions"),
        rename(f"{embeddings}.LayerNorm", "embedding.norm"),
        rename(f"{theirs}.attention.q_lin", f"{ours}.mixer.query"),
        rename(f"{theirs}.attention.k_lin", f"{ours}.mixer.key"),
        rename(f"{theirs}.attention.v_lin", f"{ours}.mixer.value"),
        rename(f"{theirs}.attention.out_lin", f"{ours}.mixer.output"),
        rename(f"{theirs}.sa_layer_norm", f"{ours}.mixer_residual.closing"),
        rename(f"{theirs}.ffn.lin1", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.ffn.lin2", f"{ours}.feed_forward.down"),
        rename(f"{theirs}.output_layer_norm", f"{ours}.feed_forward_residual.closing"),
        *_head_rules(spec.head),
    )


def _head_rules(head: Head | None) -> Sequence[Rule]:
    match head:
        case MaskedHead():
            return (
                rename("vocab_transform", "head.transform.dense"),
                rename("vocab_layer_norm", "head.transform.norm"),
                rename("vocab_projector.bias", "head.output.bias"),
                drop("vocab_projector")
                if head.output.tied
                else rename("vocab_projector", "head.output.head"),
            )
        case SequenceHead():
            return (
                rename("pre_classifier", "head.transform.dense"),
                rename("classifier", "head.scores"),
            )
        case TokenHead():
            return (rename("classifier", "head.scores"),)
        case SpanHead():
            return (rename("qa_outputs", "head.scores"),)
        case SummaryHead() | None:
            return ()


DIALECT = Dialect("distilbert", read, rules, prefix="distilbert.")
