"""SAM: segment anything, in its three sizes.

Kirillov et al., 2023 (arXiv 2304.02643).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Reshape, Rule, drop, rename, split, stack
from fathom.dialects.towers import read_depth, read_patches, require_architecture
from fathom.dialects.trunk import with_defaults
from fathom.spec.decoder import Residual
from fathom.spec.encoder_decoder import CrossAttention
from fathom.spec.feed_forward import Activation, Mlp
from fathom.spec.grid import GridAttention, GridEncoder, GridLayer
from fathom.spec.parts import Convolution, Norm, convolution
from fathom.spec.segmenter import (
    Chain,
    MaskDecoder,
    MaskPrompt,
    PromptEncoder,
    Segmenter,
    TwoWayLayer,
)

VISION = {
    **{"hidden_size": 768, "output_channels": 256, "num_hidden_layers": 12},
    **{"num_attention_heads": 12, "num_channels": 3, "image_size": 1024, "patch_size": 16},
    **{"hidden_act": "gelu", "layer_norm_eps": 1e-6, "mlp_ratio": 4.0, "window_size": 14},
    **{"global_attn_indexes": [2, 5, 8, 11], "num_pos_feats": 128},
}
PROMPT = {
    **{"hidden_size": 256, "image_size": 1024, "patch_size": 16, "mask_input_channels": 16},
    **{"num_point_embeddings": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-6},
}
DECODER = {
    **{"hidden_size": 256, "hidden_act": "relu", "mlp_dim": 2048, "num_hidden_layers": 2},
    **{"num_attention_heads": 8, "attention_downsample_rate": 2, "num_multimask_outputs": 3},
    **{"iou_head_depth": 3, "iou_head_hidden_dim": 256, "layer_norm_eps": 1e-6},
}


def read(config: Config) -> Segmenter:
    """Return the segmenter that a configuration states."""
    require_architecture(config, "SamModel")
    vision = with_defaults(config.section("vision_config"), VISION)
    prompt = with_defaults(config.section("prompt_encoder_config"), PROMPT)
    decoder = with_defaults(config.section("mask_decoder_config"), DECODER)
    width = decoder.integer("hidden_size")
    config.require(width % 8 == 0, f"a decoder's width of {width} is no multiple of 8")
    same = (vision.integer("output_channels"), prompt.integer("hidden_size"))
    config.require(same == (width, width), f"the widths {same} of the parts are not all {width}")
    config.require(2 * vision.integer("num_pos_feats") == width, "'num_pos_feats' is not its half")
    config.require(
        read_patches(prompt) == read_patches(vision), "prompts are of another picture's size"
    )
    return Segmenter(_vision(vision), _prompt(prompt), _decoder(decoder))


def _vision(config: Config) -> GridEncoder:
    width, outputs = config.integer("hidden_size"), config.integer("output_channels")
    patch, grid = read_patches(config)
    channels = config.integer("num_channels")
    whole = set(config.items("global_attn_indexes"))
    norm = Norm(outputs, 1e-6, "layer", bias=True)
    return GridEncoder(
        patches=Convolution(channels, width, patch, patch, (0, 0), (1, 1)),
        grid=grid,
        positions=config.flag("use_abs_pos", True),
        layers=tuple(_layer(config, grid, n in whole) for n in range(read_depth(config))),
        narrow=convolution(width, outputs, 1, bias=False),
        narrow_norm=norm,
        smooth=convolution(outputs, outputs, 3, bias=False),
        smooth_norm=norm,
    )


def _layer(config: Config, grid: tuple[int, int], whole: bool) -> GridLayer:
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    config.require(width % heads == 0, f"{heads} heads cannot share a width of {width} evenly")
    window = config.integer("window_size", least=0, most=1 << 14)
    windows = window > 0 and not whole
    attention = GridAttention(
        width,
        heads,
        (window, window) if windows else grid,
        windows,
        bias=config.flag("qkv_bias", True),
        relative=config.flag("use_rel_pos", True),
    )
    epsilon = config.number("layer_norm_eps", positive=True)
    residual = Residual(before=Norm(width, epsilon, "layer", bias=True))
    ratio = int(width * config.number("mlp_ratio", positive=True))
    inner = config.integer("mlp_dim", ratio)
    return GridLayer(attention, residual, Mlp(width, inner, _activation(config)), residual)


def _activation(config: Config) -> Activation:
    return config.activation("hidden_act")


def _prompt(config: Config) -> PromptEncoder:
    channels = config.integer("mask_input_channels")
    config.require(channels % 4 == 0, "'mask_input_channels' is no multiple of 4")
    kinds = config.integer("num_point_embeddings")
    config.require(kinds == 4, "'num_point_embeddings' must be 4: two of points, two of corners")
    width, epsilon = config.integer("hidden_size"), config.number("layer_norm_eps", positive=True)
    return PromptEncoder(width, MaskPrompt(width, channels, epsilon, _activation(config)), kinds)


def _decoder(config: Config) -> MaskDecoder:
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    own = CrossAttention(width, heads, width // heads, bias=True)
    crossing = _narrower(config, width, heads, 2)  # whatever the rate that is stated
    last = _narrower(config, width, heads, config.integer("attention_downsample_rate"))
    feed_forward = Mlp(width, config.integer("mlp_dim"), _activation(config))
    epsilon = config.number("layer_norm_eps", positive=True)
    several = config.integer("num_multimask_outputs", most=100)
    depth = config.integer("iou_head_depth", least=2, most=100)
    return MaskDecoder(
        width=width,
        several=several,
        layers=tuple(
            TwoWayLayer(own, crossing, feed_forward, crossing, epsilon, first=number == 0)
            for number in range(read_depth(config))
        ),
        last=last,
        last_norm=Norm(width, 1e-5, "layer", bias=True),
        quality=Chain(width, config.integer("iou_head_hidden_dim"), 1 + several, depth),
    )


def _narrower(config: Config, width: int, heads: int, rate: int) -> CrossAttention:
    inner = width // rate
    config.require(
        inner > 0 and inner % heads == 0 and width % heads == 0,
        f"{heads} heads cannot share widths of {width} and {inner} evenly",
    )
    return CrossAttention(width, heads, inner // heads, bias=True)


def rules(spec: Segmenter) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *_vision_rules(spec.vision),
        *_prompt_rules(spec.prompt),
        *_decoder_rules(spec.decoder),
    )


def _vision_rules(spec: GridEncoder) -> Iterator[Rule]:
    encoder, theirs, ours = "vision_encoder", "vision_encoder.layers.{layer}", "layers.{layer}"
    ours = f"vision.{ours}"
    yield rename(f"{encoder}.patch_embed.projection", "vision.patches")
    positions = (*spec.grid, spec.width)
    yield rename(f"{encoder}.pos_embed", "vision.positions", Reshape((1, *positions), positions))
    yield rename(f"{theirs}.layer_norm1", f"{ours}.mixer_residual.before")
    maps = {f"{ours}.mixer.{name}": spec.width for name in ("query", "key", "value")}
    yield split(f"{theirs}.attn.qkv", maps)
    yield rename(f"{theirs}.attn.rel_pos_h", f"{ours}.mixer.rows")
    yield rename(f"{theirs}.attn.rel_pos_w", f"{ours}.mixer.columns")
    yield rename(f"{theirs}.attn.proj", f"{ours}.mixer.output")
    yield rename(f"{theirs}.layer_norm2", f"{ours}.feed_forward_residual.before")
    yield rename(f"{theirs}.mlp.lin1", f"{ours}.feed_forward.up")
    yield rename(f"{theirs}.mlp.lin2", f"{ours}.feed_forward.down")
    yield rename(f"{encoder}.neck.conv1", "vision.narrow")
    yield rename(f"{encoder}.neck.layer_norm1", "vision.narrow_norm")
    yield rename(f"{encoder}.neck.conv2", "vision.smooth")
    yield rename(f"{encoder}.neck.layer_norm2", "vision.smooth_norm")


def _prompt_rules(spec: PromptEncoder) -> Iterator[Rule]:
    theirs, mask = "prompt_encoder", "prompt_encoder.mask_embed"
    yield rename("shared_image_embedding.positional_embedding", "prompt.frequencies")
    yield drop(f"{theirs}.shared_embedding.positional_embedding")  # the same once more
    row = Reshape((1, spec.width), (spec.width,))
    yield stack(f"{theirs}.point_embed.{{expert}}.weight", "prompt.kinds.weight", row)
    yield rename(f"{theirs}.not_a_point_embed", "prompt.nothing")
    yield rename(f"{theirs}.no_mask_embed", "prompt.no_mask")
    yield rename(f"{mask}.conv1", "prompt.mask.first")
    yield rename(f"{mask}.layer_norm1", "prompt.mask.first_norm")
    yield rename(f"{mask}.conv2", "prompt.mask.second")
    yield rename(f"{mask}.layer_norm2", "prompt.mask.second_norm")
    yield rename(f"{mask}.conv3", "prompt.mask.last")


def _decoder_rules(spec: MaskDecoder) -> Iterator[Rule]:
    decoder, transformer = "mask_decoder", "mask_decoder.transformer"
    theirs, ours = f"{transformer}.layers.{{layer}}", "decoder.layers.{layer}"
    yield rename(f"{decoder}.iou_token", "decoder.quality_token")
    yield rename(f"{decoder}.mask_tokens", "decoder.mask_tokens")
    yield from _looking_rules(f"{theirs}.self_attn", f"{ours}.own")
    yield rename(f"{theirs}.layer_norm1", f"{ours}.own_norm")
    yield from _looking_rules(f"{theirs}.cross_attn_token_to_image", f"{ours}.tokens_to_places")
    yield rename(f"{theirs}.layer_norm2", f"{ours}.tokens_norm")
    yield rename(f"{theirs}.mlp.lin1", f"{ours}.feed_forward.up")
    yield rename(f"{theirs}.mlp.lin2", f"{ours}.feed_forward.down")
    yield rename(f"{theirs}.layer_norm3", f"{ours}.feed_forward_norm")
    yield from _looking_rules(f"{theirs}.cross_attn_image_to_token", f"{ours}.places_to_tokens")
    yield rename(f"{theirs}.layer_norm4", f"{ours}.places_norm")
    yield from _looking_rules(f"{transformer}.final_attn_token_to_image", "decoder.last")
    yield rename(f"{transformer}.layer_norm_final_attn", "decoder.last_norm")
    yield rename(f"{decoder}.upscale_conv1", "decoder.finer")
    yield rename(f"{decoder}.upscale_layer_norm", "decoder.finer_norm")
    yield rename(f"{decoder}.upscale_conv2", "decoder.finest")
    drawing = f"{decoder}.output_hypernetworks_mlps.{{layer}}"
    yield from _chain_rules(drawing, "decoder.drawing.{layer}", spec.drawing[0].depth)
    yield from _chain_rules(f"{decoder}.iou_prediction_head", "decoder.quality", spec.quality.depth)


def _looking_rules(theirs: str, ours: str) -> Iterator[Rule]:
    names = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
    yield from (rename(f"{theirs}.{one}", f"{ours}.{name}") for one, name in names.items())


def _chain_rules(theirs: str, ours: str, depth: int) -> Iterator[Rule]:
    yield rename(f"{theirs}.proj_in", f"{ours}.maps.0")
    for number in range(depth - 2):
        yield rename(f"{theirs}.layers.{number}", f"{ours}.maps.{number + 1}")
    yield rename(f"{theirs}.proj_out", f"{ours}.maps.{depth - 1}")


DIALECT = Dialect("sam", read, rules)
