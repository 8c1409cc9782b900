"""Which class of model a spec describes, by rules over the spec and nothing else."""

from __future__ import annotations

from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.experts import Experts
from fathom.spec.heads import Head, MaskedHead, SequenceHead, SpanHead, SummaryHead, TokenHead
from fathom.spec.model import Model
from fathom.spec.parts import active, count
from fathom.spec.state_space import Recurrence
from fathom.spec.work import Staged

SMALL = 10_000_000_000  # parameters; the usual border of "small" among publishers of small models


def model_class(spec: Model) -> tuple[str, str]:
    """Return the class of a model and the rule that decided it."""
    if isinstance(spec, Staged):
        return spec.about.model_class, spec.about.rule
    if isinstance(spec, Encoder):
        return _encoder_class(spec.head)
    if isinstance(spec, EncoderDecoder):
        return "seq2seq", "an encoder that reads one text and a decoder that writes another"
    return _decoder_class(spec)


def model_outputs(spec: Model) -> tuple[str, ...]:
    """Return what a model gives for what it takes."""
    if isinstance(spec, Staged):
        return spec.about.outputs
    if not isinstance(spec, Encoder):
        return ("embeddings",) if _sees_ahead(spec) else ("text",)
    match spec.head:
        case MaskedHead():
            return "tokens for a mask", "embeddings"
        case SequenceHead() as head:
            return ("score",) if len(head.labels) == 1 else ("labels",)
        case TokenHead():
            return ("labelled spans",)
        case SpanHead():
            return ("answer span",)
        case SummaryHead() | None:
            return ("embeddings",)


def model_inputs(spec: Model) -> tuple[str, ...]:
    """Return what a model takes."""
    return spec.about.inputs if isinstance(spec, Staged) else ("text",)


def _encoder_class(head: Head | None) -> tuple[str, str]:
    match head:
        case MaskedHead():
            return "MLM", "an encoder whose head scores the tokens that a mask may stand for"
        case SequenceHead(labels=[_]):
            return "reranker", "an encoder whose head gives one score for a text or a pair"
        case SequenceHead() as found:
            return "classifier", f"an encoder whose head scores {len(found.labels)} labels"
        case TokenHead() as found:
            return "tagger", f"an encoder whose head scores {len(found.labels)} labels per token"
        case SpanHead():
            return "extractive QA", "an encoder whose head marks where an answer begins and ends"
        case SummaryHead() | None:
            return "embedding", "an encoder without a task's head: it gives hidden states"


def _decoder_class(spec: Decoder) -> tuple[str, str]:
    if _sees_ahead(spec):
        return "embedding", "a decoder's layers in which every token sees every other"
    recurrent = sum(isinstance(layer.mixer, Recurrence) for layer in spec.layers)
    if recurrent == len(spec.layers):
        return "SSM", "no layer attends; each remembers by a recurrence, in a state of one size"
    if recurrent:
        attending = len(spec.layers) - recurrent
        return "hybrid", f"{recurrent} layers remember by a recurrence, {attending} attend"
    total = count(spec)
    routed = [layer for layer in spec.layers if isinstance(layer.feed_forward, Experts)]
    if routed:
        passed = f"{active(spec) / 1e9:.2f} B of its {total / 1e9:.2f} B parameters"
        return "MoE", f"{len(routed)} layers have routed experts; a token passes {passed}"
    if total < SMALL:
        return "SLM", f"a decoder of {total / 1e9:.2f} B parameters, under {SMALL // 10**9} B"
    return "LLM", f"a decoder of {total / 1e9:.1f} B parameters, {SMALL // 10**9} B or more"


def _sees_ahead(spec: Decoder | EncoderDecoder) -> bool:
    if isinstance(spec, EncoderDecoder):
        return False
    mixers = [layer.mixer for layer in spec.layers]
    return any(isinstance(mixer, Attention) and not mixer.causal for mixer in mixers)
