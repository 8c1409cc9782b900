"""OpenELM: heads and feed-forward grow from layer to layer.

Mehta et al., 2024 (arXiv 2404.14619).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename, split
from fathom.spec.attention import Attention
from fathom.spec.decoder import Decoder, Embedding, Layer, Output, Residual
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Rotary

EPSILON = 1e-6  # of every norm; the configuration does not say


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config.choice("normalization_layer_name", ["rms_norm"], "rms_norm")
    config.require(
        config.flag("ffn_with_glu", True), "'ffn_with_glu' is false, and no published model says so"
    )
    width, vocabulary = config.integer("model_dim"), config.integer("vocab_size")
    layers = config.integer("num_transformer_layers", most=10_000)
    heads, kv_heads = (_by_layer(config, f"num_{kind}_heads", layers) for kind in ("query", "kv"))
    inner = _inner_widths(config, width, layers)
    norm = Norm(width, EPSILON)
    residual = Residual(before=norm)
    activation = config.activation("activation_fn_name", "swish")
    return Decoder(
        context=config.integer("max_context_length", 2048),
        embedding=Embedding(vocabulary, width),
        layers=tuple(
            Layer(
                _attention(config, width, *counts),
                residual,
                GatedMlp(width, size, activation),
                residual,
            )
            for *counts, size in zip(heads, kv_heads, inner, strict=True)
        ),
        norm=norm,
        output=Output(width, vocabulary, tied=config.flag("share_input_output_layers", True)),
    )


def _attention(config: Config, width: int, heads: int, kv_heads: int) -> Attention:
    config.require(heads % kv_heads == 0, f"{kv_heads} key heads cannot share {heads} heads evenly")
    head_width = config.integer("head_dim")
    normed = config.flag("normalize_qk_projections", False)
    norm = Norm(head_width, EPSILON) if normed else None
    base = config.number("rope_freq_constant", 10000, positive=True)
    rotary = Rotary(base, head_width)
    return Attention(width, heads, kv_heads, head_width, rotary, query_norm=norm, key_norm=norm)


def _by_layer(config: Config, key: str, layers: int) -> list[int]:
    """Return a whole number per layer."""
    found = [int(number) for number in config.numbers(key)]
    config.require(
        len(found) == layers and min(found) > 0 and found == list(config.numbers(key)),
        f"'{key}' must hold a whole number above zero for each of the {layers} layers",
    )
    return found


def _inner_widths(config: Config, width: int, layers: int) -> Iterator[int]:
    """Yield the width of each feed-forward: a multiple of `width`, rounded to a divisor's own.

    Rounding down by more than a tenth goes up instead.
    """
    factors = config.numbers("ffn_multipliers")
    divisor = config.integer("ffn_dim_divisor", 256)
    config.require(
        len(factors) == layers and min(factors) > 0,
        f"'ffn_multipliers' must hold a number above zero for each of the {layers} layers",
    )
    for factor in factors:
        wanted = factor * width
        rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
        yield rounded + divisor if rounded < 0.9 * wanted else rounded


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours; each layer is cut in its own sizes."""
    theirs, ours = "transformer.layers.{layer}", "layers.{layer}"
    return (
        rename("transformer.token_embeddings", "embedding.tokens"),
        *_attention_rules(spec, "transformer.layers.{layer}.attn.qkv_proj"),
        *_gate_rules(spec),
        rename(f"{theirs}.attn_norm", f"{ours}.mixer_residual.before"),
        rename(f"{theirs}.attn.q_norm", f"{ours}.mixer.query_norm"),
        rename(f"{theirs}.attn.k_norm", f"{ours}.mixer.key_norm"),
        rename(f"{theirs}.attn.out_proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.ffn_norm", f"{ours}.feed_forward_residual.before"),
        rename(f"{theirs}.ffn.proj_2", f"{ours}.feed_forward.down"),
        rename("transformer.norm", "norm"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF keeps query, key and value together, and gate and up apart."""
    return tuple(_attention_rules(spec, "blk.{layer}.attn_qkv"))


def _attention_rules(spec: Decoder, theirs: str) -> Iterator[Rule]:
    for index, layer in enumerate(spec.layers):
        mixer, ours = layer.mixer, f"layers.{index}.mixer"
        if isinstance(mixer, Attention):
            query, key = mixer.heads * mixer.head_width, mixer.kv_heads * mixer.head_width
            sizes = {f"{ours}.query": query, f"{ours}.key": key, f"{ours}.value": key}
            yield split(theirs.format(layer=index), sizes)


def _gate_rules(spec: Decoder) -> Iterator[Rule]:
    for index, layer in enumerate(spec.layers):
        part, ours = layer.feed_forward, f"layers.{index}.feed_forward"
        if isinstance(part, GatedMlp):
            sizes = {f"{ours}.gate": part.inner, f"{ours}.up": part.inner}
            yield split(f"transformer.layers.{index}.ffn.proj_1", sizes)


DIALECT = Dialect("openelm", read, rules, prefix="transformer.", gguf_rules=gguf_rules)
