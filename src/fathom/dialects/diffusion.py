"""Pipelines of diffusers: a folder whose ``model_index.json`` names parts in folders of their own.

Stable Diffusion 1, 2, XL and 3, their consistency models, and those that a net steers. Which
pipeline a folder names (to make, change or fill in pictures) makes no difference: its parts do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from fathom.dialects import autoencoder_kl, autoencoder_tiny, controlnet, diffusion_transformer, t5
from fathom.dialects import unet as planes
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect, find
from fathom.dialects.diffusion_noise import read_sampler
from fathom.dialects.rules import Rule, rename
from fathom.dialects.towers import (
    read_depth,
    read_layer,
    read_norm,
    read_text_embedding,
    text_rules,
)
from fathom.dialects.trunk import with_defaults
from fathom.errors import ConfigError
from fathom.spec.autoencoder import Autoencoder, TinyNetwork
from fathom.spec.diffusion import ClipText, Denoiser, PictureMaker, Reader, TextEncoder
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.encoder_decoder import Stack
from fathom.spec.parts import Linear
from fathom.spec.roles import Role
from fathom.spec.unet import ControlNet, Unet

P = TypeVar("P")

TEXT = {  # what a configuration of CLIP's text tower leaves unsaid
    **{"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "eos_token_id": 49407},
    **{"num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77},
    **{"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 512},
}
LARGEST_FIRST = 2  # the ending token of early configurations, by which none is meant
PLACES = (1, 2, 3)
DENOISERS = ("unet", "transformer")


def read(config: Config) -> PictureMaker:
    """Return the pipeline that the configurations of its parts state."""
    name = next((part for part in DENOISERS if part in config), None)
    if name is None:
        raise ConfigError(
            f"{config.where}: no part is a denoiser; known are {', '.join(DENOISERS)}"
        )
    denoiser: Denoiser
    if name == "unet":
        denoiser = _part(config, name, Unet)
    else:
        denoiser = _part(config, name, DiffusionTransformer)
    guide = _part(config, "controlnet", ControlNet) if "controlnet" in config else None
    maker = PictureMaker(
        readers=tuple(_readers(config)),
        denoiser=denoiser,
        autoencoder=_part(config, "vae", Autoencoder),
        sampler=read_sampler(config.section("scheduler")),
        guide=guide,
        blank_is_zero=config.flag("force_zeros_for_empty_prompt", False),
    )
    config.require(bool(maker.readers), "no part reads texts")
    _require_widths(config, maker)
    return maker


def _part(config: Config, name: str, kind: type[P]) -> P:
    """Return the spec of a part, by the dialect that its class names."""
    section = config.section(name)
    spec = find(section.text("_class_name")).read(section)
    if not isinstance(spec, kind):
        raise ConfigError(f"{section.where} is a {type(spec).__name__} and no {kind.__name__}")
    return spec


def _readers(config: Config) -> Iterator[Reader]:
    for place in PLACES:
        name = _theirs(place)
        if name not in config:
            continue
        section = config.section(name)
        kind = section.choice("model_type", ("clip_text_model", "t5"))
        encoder = _clip(section) if kind == "clip_text_model" else t5.read(section).encoder
        yield Reader(place, encoder)


def _theirs(place: int) -> str:
    return "text_encoder" if place == 1 else f"text_encoder_{place}"


def _clip(config: Config) -> ClipText:
    config = with_defaults(config, TEXT)
    width = config.integer("hidden_size")
    named = config.items("architectures", ())
    projected = bool(named) and str(named[0]).endswith("WithProjection")
    ending = config.integer("eos_token_id", least=0)
    return ClipText(
        context=config.integer("max_position_embeddings"),
        embedding=read_text_embedding(config),
        layers=(read_layer(config, config.activation("hidden_act"), causal=True),)
        * read_depth(config),
        norm=read_norm(config, width),
        projection=Linear(width, config.integer("projection_dim"), Role.DENSE)
        if projected
        else None,
        ending=None if ending == LARGEST_FIRST else ending,
    )


def _require_widths(config: Config, maker: PictureMaker) -> None:
    """Refuse parts that cannot be of one pipeline."""
    widths = [reader.encoder.embedding.width for reader in maker.readers]
    seen = maker.denoiser.text_width
    fits = (
        max(widths) <= seen
        if isinstance(maker.denoiser, DiffusionTransformer)
        else (sum(widths) == seen)
    )
    config.require(fits, f"the denoiser sees texts of width {seen}, and the encoders give {widths}")
    latents = maker.autoencoder.latents
    inputs = maker.denoiser.channels
    config.require(
        inputs in (latents, 2 * latents + 1),
        f"the denoiser takes {inputs} channels, and latents have {latents}",
    )


def rules(spec: PictureMaker) -> Sequence[Rule]:
    """Return the names of all parts, each below that of its folder, and ours."""
    found: list[Rule] = []
    for reader in spec.readers:
        found += _below(_theirs(reader.place), reader.name, _text_rules(reader.encoder))
    found += _denoiser_rules(spec.denoiser)
    if spec.guide is not None:
        found += _below("controlnet", "guide", controlnet.rules(spec.guide))
    tiny = isinstance(spec.autoencoder.encoder, TinyNetwork)
    coder = autoencoder_tiny.rules if tiny else autoencoder_kl.rules
    found += _below("vae", "autoencoder", coder(spec.autoencoder))
    return found


def _denoiser_rules(denoiser: Denoiser) -> list[Rule]:
    if isinstance(denoiser, Unet):
        return _below("unet", "denoiser", planes.rules(denoiser))
    return _below("transformer", "denoiser", diffusion_transformer.rules(denoiser))


def _text_rules(encoder: TextEncoder) -> Sequence[Rule]:
    if isinstance(encoder, Stack):
        return t5.encoder_rules(encoder)
    return (
        *text_rules("text_model", ""),
        *text_rules("", ""),  # as newer tools write a tower alone
        rename("text_projection", "projection"),
    )


def _below(theirs: str, ours: str, within: Sequence[Rule]) -> list[Rule]:
    """Return rules with names put before both sides."""

    def put(before: str, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{before}.{name.removeprefix('.')}" for name in names)

    return [Rule(put(theirs, rule.theirs), put(ours, rule.ours), rule.steps) for rule in within]


DIALECT = Dialect("diffusion", read, rules)
