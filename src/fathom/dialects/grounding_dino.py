"""Grounding DINO: boxes for what a text names, in its two published sizes.

Liu et al., 2023 (arXiv 2303.05499).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.dialects import bert, swin
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, below, drop, rename
from fathom.dialects.towers import require_architecture
from fathom.dialects.trunk import with_defaults
from fathom.spec.deformable import DeformableAttention
from fathom.spec.detector import (
    Detector,
    EnhancerLayer,
    Exchange,
    Level,
    PhraseReader,
    PlacePositions,
    Proposing,
    QueryDecoder,
    QueryLayer,
)
from fathom.spec.encoder_decoder import CrossAttention
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import GroupNorm, Linear, Norm, convolution
from fathom.spec.roles import Role
from fathom.spec.segmenter import Chain

DEFAULTS = {
    **{"num_queries": 900, "encoder_layers": 6, "encoder_ffn_dim": 2048},
    **{"encoder_attention_heads": 8, "decoder_layers": 6, "decoder_ffn_dim": 2048},
    **{"decoder_attention_heads": 8, "activation_function": "relu", "d_model": 256},
    **{"position_embedding_type": "sine", "num_feature_levels": 4, "encoder_n_points": 4},
    **{"decoder_n_points": 4, "two_stage": True, "max_text_len": 256, "query_dim": 4},
    **{"embedding_init_target": True, "decoder_bbox_embed_share": True},
    **{"positional_embedding_temperature": 20, "layer_norm_eps": 1e-5},
}
TEXT = {
    **{"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12},
    **{"num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu"},
    **{"max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12},
}
ENDS = (101, 102, 1012, 1029)  # [CLS], [SEP], "." and "?" of BERT, whatever the vocabulary
GROUPS = 32  # of a level's norm
MOST_LEVELS, MOST_QUERIES = 16, 1 << 16


def read(config: Config) -> Detector:
    """Return the detector that a configuration states."""
    require_architecture(config, "GroundingDinoForObjectDetection", "GroundingDinoModel")
    config = with_defaults(config, DEFAULTS)
    vision = swin.read_tower(_tower(config))
    width = config.integer("d_model")
    config.require(width % GROUPS == 0, f"'d_model' must be a multiple of {GROUPS}")
    text = _text(with_defaults(config.section("text_config"), TEXT), width)
    layers = config.integer("encoder_layers", most=1000)
    context = config.integer("max_text_len")
    return Detector(
        context=min(context, text[1]),
        vision=vision,
        levels=_levels(config, vision.widths, width),
        positions=PlacePositions(
            width,
            config.choice("position_embedding_type", ("sine", "learned")) == "learned",
            config.number("positional_embedding_temperature", positive=True),
        ),
        text=text[0],
        enhancer=(_enhancer_layer(config, width),) * layers,
        decoder=_decoder(config, width),
    )


def _tower(config: Config) -> Config:
    """Return the configuration of the tower that sees."""
    section = config.section("backbone_config")
    section.require(
        section.text("model_type", "swin") == "swin", "only a 'swin' tower is supported"
    )
    return with_defaults(section, {} if "out_features" in section else {"out_indices": [2, 3, 4]})


def _text(config: Config, width: int) -> tuple[PhraseReader, int]:
    """Return the tower that reads, and how many positions it has."""
    config.require(config.text("model_type", "bert") == "bert", "only a 'bert' reader is supported")
    encoder = bert.read_encoder(config)
    projection = Linear(encoder.width, width, Role.DENSE, bias=True)
    return PhraseReader(encoder.embedding, encoder.layers, projection, ENDS), encoder.context


def _levels(config: Config, widths: Sequence[int], width: int) -> tuple[Level, ...]:
    """Return a level for each map that is read, and coarser ones after the last."""
    count = config.integer("num_feature_levels", most=MOST_LEVELS)
    config.require(
        len(widths) <= count, f"the tower gives {len(widths)} maps for {count} 'num_feature_levels'"
    )
    norm = GroupNorm(width, GROUPS, 1e-5)
    levels = [Level(convolution(wide, width, 1), norm) for wide in widths]
    for number in range(count - len(widths)):
        wide = width if number else widths[-1]
        levels.append(Level(convolution(wide, width, 3, stride=2), norm))
    return tuple(levels)


def _looking(config: Config, width: int, heads: int, key: str) -> DeformableAttention:
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    levels = config.integer("num_feature_levels", most=MOST_LEVELS)
    return DeformableAttention(width, heads, levels, config.integer(key, most=1024))


def _enhancer_layer(config: Config, width: int) -> EnhancerLayer:
    heads, inner = config.integer("encoder_attention_heads"), config.integer("encoder_ffn_dim")
    config.require(
        heads > 1 and inner // 2 % (heads // 2) == 0 and width % (heads // 2) == 0,
        f"{heads // 2} heads cannot share widths of {width} and {inner // 2} evenly",
    )
    activation, half = config.activation("activation_function"), heads // 2
    epsilon = config.number("layer_norm_eps", positive=True)
    return EnhancerLayer(
        exchange=Exchange(width, inner // 2, half, epsilon),
        phrase=CrossAttention(width, half, width // half, bias=True),
        words_feed_forward=Mlp(width, inner // 2, activation),
        places=_looking(config, width, heads, "encoder_n_points"),
        feed_forward=Mlp(width, inner, activation),
        epsilon=epsilon,
    )


def _decoder(config: Config, width: int) -> QueryDecoder:
    config.require(config.integer("query_dim") == 4, "'query_dim' must be 4: a query is a box")
    # What no published model does, and the reference cannot run: boxes that begin as learned, and
    # queries as what was proposed.
    for key in ("two_stage", "embedding_init_target"):
        config.require(config.flag(key), f"'{key}' must be true")
    epsilon = config.number("layer_norm_eps", positive=True)
    heads, count = config.integer("decoder_attention_heads"), config.integer("decoder_layers")
    places = _looking(config, width, heads, "decoder_n_points")
    own = CrossAttention(width, heads, width // heads, bias=True)
    activation = config.activation("activation_function")
    feed_forward = Mlp(width, config.integer("decoder_ffn_dim"), activation)
    shared = config.flag("decoder_bbox_embed_share")
    return QueryDecoder(
        width=width,
        queries=config.integer("num_queries", most=MOST_QUERIES),
        proposing=Proposing(width, epsilon),
        layers=(QueryLayer(own, own, places, feed_forward, epsilon),) * count,
        norm=Norm(width, epsilon, "layer", bias=True),
        boxes=(Chain(width, width, 4, 3),) * (1 if shared else count),
    )


def rules(spec: Detector) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *swin.tower_rules(spec.vision, "model.backbone.conv_encoder.model", "vision"),
        *_between_rules(),
        *below(bert.trunk_rules("text_backbone"), "model.", "text."),
        drop("model.text_backbone.pooler.dense"),  # of whole texts, which nothing reads
        rename("model.text_projection", "text.projection"),
        *_enhancer_rules("model.encoder.layers.{layer}", "enhancer.{layer}"),
        *_decoder_rules("model.decoder.layers.{layer}", "decoder.layers.{layer}"),
        *_ending_rules(spec),
    )


def _between_rules() -> Iterator[Rule]:
    position, level = "model.backbone.position_embedding", "model.input_proj_vision.{layer}"
    yield rename(f"{position}.row_embeddings", "positions.rows")
    yield rename(f"{position}.column_embeddings", "positions.columns")
    yield rename(f"{level}.0", "levels.{layer}.convolution")
    yield rename(f"{level}.1", "levels.{layer}.norm")
    yield rename("model.level_embed", "level_marks")


def _enhancer_rules(theirs: str, ours: str) -> Iterator[Rule]:
    fusion, words = f"{theirs}.fusion_layer", f"{theirs}.text_enhancer_layer"
    deformable, exchange = f"{theirs}.deformable_layer", f"{ours}.exchange"
    names = {"vision_proj": "query", "text_proj": "key", "values_vision_proj": "places_value"}
    names |= {"values_text_proj": "tokens_value", "out_vision_proj": "places_output"}
    names |= {"out_text_proj": "tokens_output"}
    yield rename(f"{fusion}.layer_norm_vision", f"{exchange}.places_norm")
    yield rename(f"{fusion}.layer_norm_text", f"{exchange}.tokens_norm")
    for name, own in names.items():
        yield rename(f"{fusion}.attn.{name}", f"{exchange}.{own}")
    yield rename(f"{fusion}.vision_param", f"{exchange}.places_scales")
    yield rename(f"{fusion}.text_param", f"{exchange}.tokens_scales")
    yield from _attention_rules(f"{words}.self_attn", f"{ours}.phrase")
    yield rename(f"{words}.layer_norm_before", f"{ours}.phrase_norm")
    yield rename(f"{words}.fc1", f"{ours}.words_feed_forward.up")
    yield rename(f"{words}.fc2", f"{ours}.words_feed_forward.down")
    yield rename(f"{words}.layer_norm_after", f"{ours}.words_feed_forward_norm")
    yield from _looking_rules(f"{deformable}.self_attn", f"{ours}.places")
    yield rename(f"{deformable}.self_attn_layer_norm", f"{ours}.places_norm")
    yield from _feed_forward_rules(deformable, ours)


def _decoder_rules(theirs: str, ours: str) -> Iterator[Rule]:
    yield from _attention_rules(f"{theirs}.self_attn", f"{ours}.own")
    yield rename(f"{theirs}.self_attn_layer_norm", f"{ours}.own_norm")
    yield from _attention_rules(f"{theirs}.encoder_attn_text", f"{ours}.words")
    yield rename(f"{theirs}.encoder_attn_text_layer_norm", f"{ours}.words_norm")
    yield from _looking_rules(f"{theirs}.encoder_attn", f"{ours}.places")
    yield rename(f"{theirs}.encoder_attn_layer_norm", f"{ours}.places_norm")
    yield from _feed_forward_rules(theirs, ours)


def _ending_rules(spec: Detector) -> Iterator[Rule]:
    yield rename("model.query_position_embeddings", "decoder.begin")
    yield rename("model.enc_output", "decoder.proposing.dense")
    yield rename("model.enc_output_norm", "decoder.proposing.norm")
    proposed = "model.encoder_output_bbox_embed.layers.{layer}"
    yield rename(proposed, "decoder.proposing.boxes.maps.{layer}")
    lying = "model.decoder.reference_points_head.layers.{layer}"
    yield rename(lying, "decoder.lying.maps.{layer}")
    yield rename("model.decoder.layer_norm", "decoder.norm")
    for number in range(len(spec.decoder.boxes)):
        theirs, ours = f"bbox_embed.{number}.layers.{{layer}}", f"decoder.boxes.{number}"
        yield rename(theirs, f"{ours}.maps.{{layer}}")
    yield drop("bbox_embed.**")  # where all layers share the first
    yield drop("model.decoder.bbox_embed.**")  # the same once more


def _attention_rules(theirs: str, ours: str) -> Iterator[Rule]:
    for name in ("query", "key", "value"):
        yield rename(f"{theirs}.{name}", f"{ours}.{name}")
    yield rename(f"{theirs}.out_proj", f"{ours}.output")


def _looking_rules(theirs: str, ours: str) -> Iterator[Rule]:
    names = {"sampling_offsets": "distances", "attention_weights": "weights"}
    names |= {"value_proj": "value", "output_proj": "output"}
    yield from (rename(f"{theirs}.{name}", f"{ours}.{own}") for name, own in names.items())


def _feed_forward_rules(theirs: str, ours: str) -> Iterator[Rule]:
    yield rename(f"{theirs}.fc1", f"{ours}.feed_forward.up")
    yield rename(f"{theirs}.fc2", f"{ours}.feed_forward.down")
    yield rename(f"{theirs}.final_layer_norm", f"{ours}.feed_forward_norm")


DIALECT = Dialect("grounding_dino", read, rules)
