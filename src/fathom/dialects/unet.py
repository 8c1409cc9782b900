"""Denoisers of planes as diffusers configures and names them: UNet2DConditionModel.

Stable Diffusion 1 and 2 (Rombach et al., 2021, arXiv 2112.10752), SDXL (Podell et al., 2023,
arXiv 2307.01952), and their consistency models (Luo et al., 2023, arXiv 2310.04378).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.pyramid import read_widths, residual_rules
from fathom.dialects.rules import Rule, rename, split
from fathom.spec.attention import Attention
from fathom.spec.decoder import Residual
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import GroupNorm, Norm, convolution
from fathom.spec.pyramid import Doubling, Halving, ResidualBlock
from fathom.spec.unet import (
    Descent,
    SpatialTransformer,
    Told,
    Unet,
    UnetLevel,
    UnetMiddle,
    VectorMlp,
    Waves,
)

DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}  # kind → whether it looks at the text
UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}
# Switches of kinds that are not read; each must have this value, or be absent.
USUAL: dict[str, tuple[object, ...]] = {
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "only_cross_attention": (False,),
    "mid_block_only_cross_attention": (False,),
    "dual_cross_attention": (False,),
    "reverse_transformer_layers_per_block": (),
    "encoder_hid_dim": (),
    "encoder_hid_dim_type": (),
    "num_attention_heads": (),
    "class_embed_type": (),
    "num_class_embeds": (),
    "class_embeddings_concat": (False,),
    "resnet_skip_time_act": (False,),
    "time_embedding_type": ("positional",),
    "time_embedding_act_fn": (),
    "timestep_post_act": (),
    "attention_type": ("default",),
    "cross_attention_norm": (),
}


def read(config: Config) -> Unet:
    """Return the denoiser that a configuration states."""
    blocks = Blocks(config)
    width = blocks.widths[0]
    return Unet(
        descent=blocks.descent(),
        levels=blocks.rising(),
        norm=GroupNorm(width, blocks.groups, blocks.epsilon),
        leave=convolution(
            width, config.integer("out_channels", 4), config.integer("conv_out_kernel", 3, most=15)
        ),
        text_width=blocks.texts[0],
        size=_size(config),
        centred=config.flag("center_input_sample", False),
        activation=blocks.activation,
    )


def _size(config: Config) -> int:
    stated = config.values.get("sample_size")
    if isinstance(stated, list | tuple):
        return max((each for each in stated if isinstance(each, int)), default=64)
    return config.integer("sample_size", 64)


class Blocks:
    """Blocks and levels of one configuration, of a denoiser or of a net that steers one."""

    def __init__(self, config: Config) -> None:
        self.config = config
        for key, usual in USUAL.items():
            value = config.values.get(key)
            config.require(
                value is None or value in usual, f"'{key}' {value!r} is of a kind not supported"
            )
        self.widths = read_widths(config, "block_out_channels", (320, 640, 1280, 1280))
        self.groups = config.integer("norm_num_groups", 32)
        config.require(
            all(width % self.groups == 0 for width in self.widths),
            f"'norm_num_groups' is {self.groups}, which must divide each of 'block_out_channels'",
        )
        self.epsilon = config.number("norm_eps", 1e-5, positive=True)
        self.activation = config.activation("act_fn", "silu")
        self.time = config.optional_integer("time_embedding_dim") or 4 * self.widths[0]
        self.depths = self._each("layers_per_block", 2)
        self.layers = self._each("transformer_layers_per_block", 1)
        self.heads = self._each("attention_head_dim", 8)  # which are heads, whatever it is called
        self.texts = self._each("cross_attention_dim", 1280)
        self.linear = config.flag("use_linear_projection", False)
        scaling = config.choice("resnet_time_scale_shift", ("default", "scale_shift"), "default")
        self.scaled = scaling == "scale_shift"
        self.looks = self._kinds("down_block_types", DOWN, (True, True, True, False))

    def _each(self, key: str, default: int) -> tuple[int, ...]:
        """Return a number for each level; one that is stated once is of all."""
        stated = self.config.values.get(key)
        if not isinstance(stated, list | tuple):
            return (self.config.integer(key, default),) * len(self.widths)
        self.config.require(
            len(stated) == len(self.widths), f"'{key}' needs a number for each of the levels"
        )
        return tuple(Config({key: each}, self.config.where).integer(key) for each in stated)

    def _kinds(
        self, key: str, known: dict[str, bool], default: tuple[bool, ...]
    ) -> tuple[bool, ...]:
        stated = self.config.items(key, ())
        self.config.require(
            all(kind in known for kind in stated),
            f"'{key}' may hold {', '.join(known)}, not {stated}",
        )
        found = tuple(known[str(kind)] for kind in stated) or default
        self.config.require(
            len(found) == len(self.widths), f"'{key}' needs a kind for each of the levels"
        )
        return found

    def block(self, inputs: int, outputs: int, divisor: float = 1.0) -> ResidualBlock:
        self.config.require(
            inputs % self.groups == 0, f"{inputs} channels do not divide into {self.groups} groups"
        )
        return ResidualBlock(
            inputs,
            outputs,
            self.groups,
            self.epsilon,
            self.activation,
            self.time,
            self.scaled,
            divisor,
        )

    def transformer(self, level: int, width: int) -> SpatialTransformer:
        heads, text = self.heads[level], self.texts[level]
        self.config.require(
            width % heads == 0, f"{heads} heads cannot share {width} channels evenly"
        )
        size = width // heads
        norm = Residual(before=Norm(width, 1e-5, "layer", bias=True))
        layer = CrossLayer(
            Attention(width, heads, heads, size, causal=False, output_bias=True),
            norm,
            CrossAttention(width, heads, size, output_bias=True, source_width=text),
            norm,
            GatedMlp(width, 4 * width, "gelu", bias=True),
            norm,
        )
        return SpatialTransformer(width, self.groups, (layer,) * self.layers[level], self.linear)

    def descent(self) -> Descent:
        """Return the way down, which denoisers and nets that steer them have."""
        config, first = self.config, self.widths[0]
        waves = self._waves(first)
        condition = config.optional_integer("time_cond_proj_dim")
        kernel = config.integer("conv_in_kernel", 3, most=15)
        return Descent(
            waves,
            VectorMlp(first, self.time, self.activation, condition),
            self._told(),
            convolution(config.integer("in_channels", 4), first, kernel),
            self._falling(),
            self._middle(),
        )

    def _waves(self, width: int) -> Waves:
        return Waves(
            width,
            not self.config.flag("flip_sin_to_cos", True),
            self.config.number("freq_shift", 0),
        )

    def _told(self) -> Told | None:
        config = self.config
        if "addition_embed_type" not in config:
            return None
        config.choice("addition_embed_type", ("text_time",))
        size = config.integer("addition_time_embed_dim")
        inputs = config.integer("projection_class_embeddings_input_dim")
        sizes = 6 if inputs > 6 * size else 5  # a refiner is told a score instead of a size
        vector = inputs - sizes * size
        config.require(
            vector > 0, "'projection_class_embeddings_input_dim' leaves none for the text"
        )
        return Told(vector, sizes, self._waves(size), VectorMlp(inputs, self.time))

    def _falling(self) -> tuple[UnetLevel, ...]:
        levels = []
        pairs = pairwise((self.widths[0], *self.widths))
        for level, (before, width) in enumerate(pairs):
            depth = self.depths[level]
            blocks = (self.block(before, width), *(self.block(width, width),) * (depth - 1))
            looking = (self.transformer(level, width),) * depth if self.looks[level] else ()
            last = level == len(self.widths) - 1
            levels.append(UnetLevel(blocks, looking, None if last else Halving(width, width)))
        return tuple(levels)

    def _middle(self) -> UnetMiddle:
        width, level = self.widths[-1], len(self.widths) - 1
        divisor = self.config.number("mid_block_scale_factor", 1.0, positive=True)
        block = self.block(width, width, divisor)
        return UnetMiddle(block, self.transformer(level, width), block)

    def rising(self) -> tuple[UnetLevel, ...]:
        """Return the way up, whose blocks take in what was left on the way down."""
        looks = self._kinds("up_block_types", UP, (False, True, True, True))
        config, rising, levels = self.config, self.widths[::-1], []
        config.integer("downsample_padding", 1, least=1, most=1)
        for place, width in enumerate(rising):
            level = len(rising) - 1 - place
            before = rising[max(place - 1, 0)]
            after = rising[min(place + 1, len(rising) - 1)]
            depth = self.depths[level] + 1
            left = [width] * (depth - 1) + [after]
            came = [before] + [width] * (depth - 1)
            pairs = zip(came, left, strict=True)
            blocks = tuple(self.block(own + twin, width) for own, twin in pairs)
            looking = (self.transformer(level, width),) * depth if looks[place] else ()
            change = Doubling(width, width) if place < len(rising) - 1 else None
            levels.append(UnetLevel(blocks, looking, change))
        return tuple(levels)


def rules(spec: Unet) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (
        *descent_rules(spec.descent),
        *level_rules("up_blocks", "levels", "upsamplers", spec.levels),
        rename("conv_norm_out", "norm"),
        rename("conv_out", "leave"),
    )


def descent_rules(spec: Descent) -> Sequence[Rule]:
    """Return the names of the way down."""
    middle = "descent.middle"
    return (
        rename("time_embedding.cond_proj", "descent.time.condition"),
        rename("time_embedding.linear_1", "descent.time.up"),
        rename("time_embedding.linear_2", "descent.time.down"),
        rename("add_embedding.linear_1", "descent.told.embedding.up"),
        rename("add_embedding.linear_2", "descent.told.embedding.down"),
        rename("conv_in", "descent.enter"),
        *level_rules("down_blocks", "descent.levels", "downsamplers", spec.levels),
        *residual_rules("mid_block.resnets.0", f"{middle}.first"),
        *residual_rules("mid_block.resnets.1", f"{middle}.second"),
        *_transformer_rules(
            "mid_block.attentions.0", f"{middle}.transformer", spec.middle.transformer
        ),
    )


def level_rules(
    theirs: str, ours: str, changes: str, levels: Sequence[UnetLevel]
) -> Sequence[Rule]:
    """Return the names of levels; a feed-forward's size is its own, so each has rules."""
    found: list[Rule] = []
    for number, level in enumerate(levels):
        their, our = f"{theirs}.{number}", f"{ours}.{number}"
        found += residual_rules(f"{their}.resnets.{{block}}", f"{our}.blocks.{{block}}")
        found.append(rename(f"{their}.{changes}.0.conv", f"{our}.change.convolution"))
        if level.transformers:
            found += _transformer_rules(
                f"{their}.attentions.{{block}}",
                f"{our}.transformers.{{block}}",
                level.transformers[0],
            )
    return found


def _transformer_rules(theirs: str, ours: str, part: SpatialTransformer | None) -> Sequence[Rule]:
    if part is None:
        return ()
    their, our = f"{theirs}.transformer_blocks.{{layer}}", f"{ours}.layers.{{layer}}"
    inner = 4 * part.layers[0].mixer.width
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "output"}
    attentions = (("attn1", "mixer"), ("attn2", "cross"))
    residuals = (("norm1", "mixer"), ("norm2", "cross"), ("norm3", "feed_forward"))
    gated = {f"{our}.feed_forward.up": inner, f"{our}.feed_forward.gate": inner}
    return (
        rename(f"{theirs}.norm", f"{ours}.norm"),
        rename(f"{theirs}.proj_in", f"{ours}.enter"),
        rename(f"{theirs}.proj_out", f"{ours}.leave"),
        *(rename(f"{their}.{a}", f"{our}.{b}_residual.before") for a, b in residuals),
        *(
            rename(f"{their}.{kind}.{name}", f"{our}.{part}.{own}")
            for kind, part in attentions
            for name, own in names.items()
        ),
        split(f"{their}.ff.net.0.proj", gated),
        rename(f"{their}.ff.net.2", f"{our}.feed_forward.down"),
    )


DIALECT = Dialect("UNet2DConditionModel", read, rules, weights="diffusion_pytorch_model")
