"""T5, FLAN-T5 and mT5: one model for every task that can be put as text to text.

Pre-norm layers whose scores are not scaled but shifted by learned scores of distances.
Raffel et al., 2020 (arXiv 1910.10683); version 1.1: Shazeer, 2020 (arXiv 2002.05202).
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import ACTIVATIONS, Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.gguf_readers import PAIR_TENSORS
from fathom.dialects.rules import Rule, drop, rename
from fathom.spec.attention import Attention
from fathom.spec.decoder import Embedding, Layer, Output, Residual
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer, EncoderDecoder, Stack
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.parts import Norm
from fathom.spec.relative import DistanceScores


def read(config: Config) -> EncoderDecoder:
    """Return the pair of stacks that a configuration of this family states."""
    width = config.integer("d_model")
    heads, head_width = config.integer("num_heads"), config.integer("d_kv")
    vocabulary = config.integer("vocab_size")
    layers = config.integer("num_layers", most=10_000)
    pre_norm = Residual(before=_norm(config, width))
    feed_forward = _feed_forward(config, width)

    def attention(causal: bool) -> Attention:
        return Attention(width, heads, heads, head_width, causal=causal, scale=1.0)

    reading = Layer(attention(causal=False), pre_norm, feed_forward, pre_norm)
    cross = CrossAttention(width, heads, head_width, scale=1.0)
    writing = CrossLayer(attention(causal=True), pre_norm, cross, pre_norm, feed_forward, pre_norm)
    count = config.integer("num_decoder_layers", layers, most=10_000)
    return EncoderDecoder(
        context=config.integer("n_positions", 512),  # what it was trained on; it has no end
        encoder=Stack(
            Embedding(vocabulary, width),
            (reading,) * layers,
            pre_norm.before,
            _distances(config, heads, both_directions=True),
        ),
        decoder=Stack(
            Embedding(vocabulary, width, shared=True),
            (writing,) * count,
            pre_norm.before,
            _distances(config, heads, both_directions=False),
        ),
        output=_output(config, width, vocabulary),
    )


def _norm(config: Config, width: int) -> Norm:
    return Norm(width, config.number("layer_norm_epsilon", 1e-6, positive=True))


def _distances(config: Config, heads: int, both_directions: bool) -> DistanceScores:
    buckets = config.integer("relative_attention_num_buckets", 32, least=4)
    furthest = config.integer("relative_attention_max_distance", 128)
    config.require(buckets < furthest, "'relative_attention_max_distance' is within the buckets")
    return DistanceScores(buckets, furthest, heads, both_directions)


def _feed_forward(config: Config, width: int) -> GatedMlp | Mlp:
    inner, stated = config.integer("d_ff"), config.text("feed_forward_proj", "relu")
    name = stated.removeprefix("gated-")
    config.require(name in ACTIVATIONS, f"'feed_forward_proj' names no activation: {stated!r}")
    if name == stated:
        return Mlp(width, inner, ACTIVATIONS[name], bias=False)
    # Version 1.1 says "gelu" and means the approximation that it was trained with.
    return GatedMlp(width, inner, "gelu_tanh" if name == "gelu" else ACTIVATIONS[name])


def _output(config: Config, width: int, vocabulary: int) -> Output:
    """The first version ties its output and scales it; 1.1 and mT5 do neither.

    Transformers 5 writes that all are tied, and says by a flag of its own what is scaled.
    """
    tied = config.flag("tie_word_embeddings", True)
    scaled = config.flag("scale_decoder_outputs", tied and config.text("model_type") != "mt5")
    own = not tied and (config.holds("lm_head.weight") or config.holds("output.weight"))
    return Output(width, vocabulary, tied=not own, scale=width**-0.5 if scaled else 1.0)


def rules(spec: EncoderDecoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    tied = spec.output.tied
    gated = isinstance(spec.encoder.layers[0].feed_forward, GatedMlp)
    return (
        rename("shared", "encoder.embedding.tokens"),
        drop("encoder.embed_tokens"),  # the same table again
        drop("decoder.embed_tokens"),
        *_stack("encoder", 1, gated),
        *_stack("decoder", 2, gated),
        *_attention("decoder", "EncDecAttention", 1, "cross"),
        # Stored by some, read by nobody: where a source stands is not looked at.
        drop("decoder.block.{layer}.layer.1.EncDecAttention.relative_attention_bias"),
        drop("lm_head") if tied else rename("lm_head", "output.head"),
    )


def encoder_rules(spec: Stack) -> Sequence[Rule]:
    """Return the names of a stack that reads, alone in its file, and ours below its own name."""
    gated = isinstance(spec.layers[0].feed_forward, GatedMlp)
    within = [rename("shared", "encoder.embedding.tokens"), drop("encoder.embed_tokens")]
    within += _stack("encoder", 1, gated)
    return tuple(
        Rule(one.theirs, tuple(name.removeprefix("encoder.") for name in one.ours), one.steps)
        for one in within
    )


def _stack(name: str, place: int, gated: bool) -> Sequence[Rule]:
    theirs = f"{name}.block.{{layer}}.layer.{place}"
    ours = f"{name}.layers.{{layer}}.feed_forward"
    first = f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias"
    return (
        *_attention(name, "SelfAttention", 0, "mixer"),
        rename(first, f"{name}.distances.scores"),  # the first layer holds what all share
        rename(f"{theirs}.layer_norm", f"{ours}_residual.before"),
        rename(f"{theirs}.DenseReluDense.wi_0", f"{ours}.gate"),
        rename(f"{theirs}.DenseReluDense.{'wi_1' if gated else 'wi'}", f"{ours}.up"),
        rename(f"{theirs}.DenseReluDense.wo", f"{ours}.down"),
        rename(f"{name}.final_layer_norm", f"{name}.norm"),
    )


def _attention(stack: str, kind: str, place: int, part: str) -> Sequence[Rule]:
    theirs = f"{stack}.block.{{layer}}.layer.{place}"
    ours = f"{stack}.layers.{{layer}}.{part}"
    names = {"q": "query", "k": "key", "v": "value", "o": "output"}
    return (
        rename(f"{theirs}.layer_norm", f"{ours}_residual.before"),
        *(rename(f"{theirs}.{kind}.{one}", f"{ours}.{own}") for one, own in names.items()),
    )


def gguf_rules(spec: EncoderDecoder) -> Sequence[Rule]:
    """Return GGUF's names of the two stacks, which no other architecture has."""
    return PAIR_TENSORS


DIALECT = Dialect("t5", read, rules, gguf_rules=gguf_rules)
