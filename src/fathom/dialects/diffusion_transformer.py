"""The denoiser of Stable Diffusion 3 as diffusers configures and names it: SD3Transformer2DModel.

Esser et al., 2024 (arXiv 2403.03206). Version 3.5 norms queries and keys, and in its first layers
the picture attends once more to itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule, rename
from fathom.spec.attention import Attention
from fathom.spec.diffusion_transformer import DiffusionTransformer, JointLayer, Stream
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Linear, Norm
from fathom.spec.roles import Role
from fathom.spec.unet import VectorMlp, Waves

WAVES = 256  # numbers by which a moment is told


def read(config: Config) -> DiffusionTransformer:
    """Return the denoiser that a configuration states."""
    heads = config.integer("num_attention_heads", 18)
    width = heads * config.integer("attention_head_dim", 64)
    patch, size = config.integer("patch_size", 2), config.integer("sample_size", 128)
    channels = config.integer("in_channels", 16)
    config.require(
        config.integer("caption_projection_dim", 1152) == width,
        f"'caption_projection_dim' must be {width}, the width of all heads",
    )
    grid = config.integer("pos_embed_max_size", 96, most=65_536)
    config.require(size // patch <= grid, "'sample_size' has more patches than positions")
    count = config.integer("num_layers", 18, most=10_000)
    dual = config.items("dual_attention_layers", ())
    return DiffusionTransformer(
        channels=channels,
        outputs=config.integer("out_channels", channels),
        patch=patch,
        width=width,
        grid=grid,
        waves=Waves(WAVES),
        time=VectorMlp(WAVES, width),
        told=VectorMlp(config.integer("pooled_projection_dim", 2048), width),
        text=Linear(config.integer("joint_attention_dim", 4096), width, Role.DENSE, bias=True),
        layers=tuple(
            _layer(config, width, heads, index in dual, index == count - 1)
            for index in range(count)
        ),
        size=size,
    )


def _layer(config: Config, width: int, heads: int, dual: bool, last: bool) -> JointLayer:
    normed = "qk_norm" in config and config.choice("qk_norm", ("rms_norm",)) == "rms_norm"
    head_width = width // heads
    norm = Norm(head_width, 1e-6) if normed else None
    feed_forward = Mlp(width, 4 * width, "gelu_tanh")
    alone = Attention(
        width,
        heads,
        heads,
        head_width,
        causal=False,
        input_bias=True,
        output_bias=True,
        query_norm=norm,
        key_norm=norm,
    )
    picture = Stream(width, heads, head_width, norm, norm, feed_forward, alone if dual else None)
    text = Stream(width, heads, head_width, norm, norm, None if last else feed_forward, ends=last)
    return JointLayer(picture, text)


def rules(spec: DiffusionTransformer) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    embed = "time_text_embed"
    theirs, picture, text = (
        "transformer_blocks.{layer}",
        "layers.{layer}.picture",
        "layers.{layer}.text",
    )
    alone = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "output"}
    joined = {"add_q_proj": "query", "add_k_proj": "key", "add_v_proj": "value"}
    norms = {"norm_q": "query_norm", "norm_k": "key_norm"}
    added = {"norm_added_q": "query_norm", "norm_added_k": "key_norm"}
    return (
        rename("pos_embed.proj", "enter"),
        rename("pos_embed.pos_embed", "positions"),
        rename(f"{embed}.timestep_embedder.linear_1", "time.up"),
        rename(f"{embed}.timestep_embedder.linear_2", "time.down"),
        rename(f"{embed}.text_embedder.linear_1", "told.up"),
        rename(f"{embed}.text_embedder.linear_2", "told.down"),
        rename("context_embedder", "text"),
        rename(f"{theirs}.norm1.linear", f"{picture}.modulation"),
        rename(f"{theirs}.norm1_context.linear", f"{text}.modulation"),
        *(rename(f"{theirs}.attn.{a}", f"{picture}.{b}") for a, b in (alone | norms).items()),
        *(rename(f"{theirs}.attn.{a}", f"{text}.{b}") for a, b in (joined | added).items()),
        rename(f"{theirs}.attn.to_add_out", f"{text}.output"),
        *(
            rename(f"{theirs}.attn2.{a}", f"{picture}.alone.{b}")
            for a, b in (alone | norms).items()
        ),
        rename(f"{theirs}.ff.net.0.proj", f"{picture}.feed_forward.up"),
        rename(f"{theirs}.ff.net.2", f"{picture}.feed_forward.down"),
        rename(f"{theirs}.ff_context.net.0.proj", f"{text}.feed_forward.up"),
        rename(f"{theirs}.ff_context.net.2", f"{text}.feed_forward.down"),
        rename("norm_out.linear", "modulation"),
        rename("proj_out", "leave"),
    )


DIALECT = Dialect("SD3Transformer2DModel", read, rules, weights="diffusion_pytorch_model")
