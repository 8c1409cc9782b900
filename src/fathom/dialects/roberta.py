"""RoBERTa and XLM-RoBERTa: BERT's layers, other positions and other names.

Liu et al., 2019 (arXiv 1907.11692); Conneau et al., 2019 (arXiv 1911.02116).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.bert import output_rules, read_encoder, trunk_rules
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.spec.encoder import Encoder
from fathom.spec.heads import Head, MaskedHead, SequenceHead, SpanHead, SummaryHead, TokenHead


def read(config: Config) -> Encoder:
    """Return the encoder that a configuration of this family states.

    Positions begin after the number of the padding token.
    """
    spec = read_encoder(config, offset=config.integer("pad_token_id", 1, least=0) + 1)
    if not isinstance(spec.head, MaskedHead):
        return spec
    # This head keeps its GELU whatever the layers have.
    transform = replace(spec.head.transform, activation="gelu")
    return replace(spec, head=replace(spec.head, transform=transform))


def rules(spec: Encoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *trunk_rules("roberta"),
        *_head_rules(spec.head),
        drop("roberta.pooler.dense"),  # which no other head reads
    )


def _head_rules(head: Head | None) -> Sequence[Rule]:
    match head:
        case MaskedHead():
            return (
                rename("lm_head.dense", "head.transform.dense"),
                rename("lm_head.layer_norm", "head.transform.norm"),
                *output_rules(head, "lm_head.decoder", "lm_head.bias"),
            )
        case SequenceHead():
            return (
                rename("classifier.dense", "head.transform.dense"),
                rename("classifier.out_proj", "head.scores"),
            )
        case TokenHead():
            return (rename("classifier", "head.scores"),)
        case SpanHead():
            return (rename("qa_outputs", "head.scores"),)
        case SummaryHead():
            return (rename("roberta.pooler.dense", "head.transform.dense"),)
        case None:
            return ()


DIALECT = Dialect("roberta", read, rules, prefix="roberta.")
