"""OPT: GPT-3's layout with ReLU, and positions from the third row of their table on.

The 350M model norms after each addition and looks tokens up in a table narrower than its stream.
Zhang et al., 2022 (arXiv 2205.01068).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, drop, rename
from fathom.dialects.trunk import read_dimensions
from fathom.spec.decoder import Decoder, Layer, Residual
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Norm, Table

NAMES = {"intermediate_size": "ffn_dim", "hidden_act": "activation_function"}
OFFSET = 2  # rows before the one of position 0, left from a padding token's
EPSILON = 1e-5  # of every norm; the configuration does not say


def read(config: Config) -> Decoder:
    """Return the decoder that a configuration of this family states."""
    config = config.spelled(NAMES)
    sizes = read_dimensions(config)
    width = sizes.width
    bias = config.flag("enable_bias", True)
    affine = config.flag("layer_norm_elementwise_affine", True)
    norm = Norm(width, EPSILON, "layer", weight=affine, bias=affine)
    norm_first = config.flag("do_layer_norm_before", True)
    residual = Residual(before=norm) if norm_first else Residual(closing=norm)
    attention = replace(sizes.attention(), input_bias=bias, output_bias=bias)
    inner = config.integer("intermediate_size", 3072)
    feed_forward = Mlp(width, inner, config.activation("hidden_act", "relu"), bias)
    layer = Layer(attention, residual, feed_forward, residual)
    plain = sizes.decoder(
        [layer] * sizes.layers, norm, tied=config.flag("tie_word_embeddings", True)
    )
    table_width = config.integer("word_embed_proj_dim", width)
    narrow = table_width if table_width != width else None
    positions = Table(sizes.context + OFFSET, width)
    last = norm_first and not config.flag("_remove_final_layer_norm", False)
    return replace(
        plain,
        embedding=replace(
            plain.embedding, positions=positions, position_offset=OFFSET, table_width=narrow
        ),
        norm=norm if last else None,
        output=replace(plain.output, table_width=narrow),
    )


def layer_rules(spec: Decoder, trunk: str) -> tuple[Rule, ...]:
    """Return the names inside the layers of `trunk`, which BioGPT kept."""
    theirs, ours = f"{trunk}.layers.{{layer}}", "layers.{layer}"
    place = "before" if spec.layers[0].mixer_residual.before else "closing"
    return (
        rename(f"{theirs}.self_attn_layer_norm", f"{ours}.mixer_residual.{place}"),
        rename(f"{theirs}.self_attn.q_proj", f"{ours}.mixer.query"),
        rename(f"{theirs}.self_attn.k_proj", f"{ours}.mixer.key"),
        rename(f"{theirs}.self_attn.v_proj", f"{ours}.mixer.value"),
        rename(f"{theirs}.self_attn.out_proj", f"{ours}.mixer.output"),
        rename(f"{theirs}.final_layer_norm", f"{ours}.feed_forward_residual.{place}"),
        rename(f"{theirs}.fc1", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.fc2", f"{ours}.feed_forward.down"),
    )


def rules(spec: Decoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    trunk = "model.decoder"
    return (
        rename(f"{trunk}.embed_tokens", "embedding.tokens"),
        rename(f"{trunk}.project_in", "embedding.widen"),
        rename(f"{trunk}.embed_positions", "embedding.positions"),
        *layer_rules(spec, trunk),
        rename(f"{trunk}.final_layer_norm", "norm"),
        rename(f"{trunk}.project_out", "output.narrow"),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


DIALECT = Dialect("opt", read, rules, prefix="model.")
