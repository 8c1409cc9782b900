"""A pipeline that makes pictures of noise: text encoders, a denoiser, an autoencoder, a sampler.

Rombach et al., 2021 (arXiv 2112.10752). Each component lies in memory by itself, and may rest
while another works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from fathom.spec.autoencoder import Autoencoder
from fathom.spec.decoder import Embedding, Layer
from fathom.spec.diffusion_noise import Lcm, Sampler
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.encoder_decoder import Stack
from fathom.spec.parts import Linear, Norm, Part
from fathom.spec.unet import ControlNet, Unet
from fathom.spec.work import About, Stage, Work, passing

LONG = 256  # tokens that a text encoder without an end is given, as it was trained
USUAL_STEPS = 50
FEW_STEPS = 4


@dataclass(frozen=True)
class ClipText:
    """A tower that reads: states of tokens, and a vector of the whole from where it `ends`.

    Without the number of an ending token the largest number in a text is taken to be it, as in
    the first configurations. Radford et al., 2021 (arXiv 2103.00020).
    """

    context: int
    embedding: Embedding
    layers: tuple[Layer, ...]
    norm: Norm
    projection: Linear | None = None
    ending: int | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "embedding": self.embedding,
            "layers": self.layers,
            "norm": self.norm,
            "projection": self.projection,
        }


TextEncoder: TypeAlias = ClipText | Stack
Denoiser: TypeAlias = Unet | DiffusionTransformer


@dataclass(frozen=True)
class Reader:
    """A text encoder and its place in the pipeline, by which its tokenizer is found too."""

    place: int
    encoder: TextEncoder

    @property
    def name(self) -> str:
        return f"text_encoder_{self.place}"

    @property
    def tokens(self) -> int:
        """The length to which every text is filled up."""
        return self.encoder.context if isinstance(self.encoder, ClipText) else LONG

    def stage(self, texts: int) -> Stage:
        """Return the stage that reads so many texts."""
        encoder, rows = self.encoder, texts * self.tokens
        operations = passing(encoder.layers, rows)
        operations += rows * sum(layer.operations(self.tokens) for layer in encoder.layers)
        if isinstance(encoder, ClipText) and encoder.projection is not None:
            operations += passing(encoder.projection, texts)
        width = encoder.embedding.width
        live, kept = 8 * rows * width, rows * width
        return Stage(self.name, encoder, operations, live=live, kept=kept, rows=rows)


@dataclass(frozen=True)
class PictureMaker:
    """Noise becomes a picture that fits a text.

    A text that is to be kept away from is, where none is given, an empty one, or with
    `blank_is_zero` zeros in place of states.
    """

    readers: tuple[Reader, ...]
    denoiser: Denoiser
    autoencoder: Autoencoder
    sampler: Sampler
    guide: ControlNet | None = None
    blank_is_zero: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        return {
            **{reader.name: reader.encoder for reader in self.readers},
            "denoiser": self.denoiser,
            "guide": self.guide,
            "autoencoder": self.autoencoder,
        }

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def consistent(self) -> bool:
        """Whether the denoiser was taught to jump, and how strongly it shall follow the text."""
        taught = isinstance(self.denoiser, Unet) and self.denoiser.descent.time.condition
        return bool(taught) or isinstance(self.sampler, Lcm)

    @property
    def about(self) -> About:
        rule = "a denoiser makes latents of noise step by step, an autoencoder pictures of those"
        if self.consistent:
            return About("LCM", f"{rule}; it was taught to need few", ("text",), ("picture",), DOES)
        return About("diffusion", rule, ("text",), ("picture",), DOES)

    @property
    def side(self) -> int:
        """The side in pixels of the pictures that it was made for."""
        return self.denoiser.size * self.autoencoder.factor

    @property
    def tokens(self) -> int:
        """Tokens of text that the denoiser sees."""
        lengths = [reader.tokens for reader in self.readers]
        if isinstance(self.denoiser, DiffusionTransformer):
            return lengths[0] + LONG  # towers side by side, and after them the longer text
        return max(lengths)

    @property
    def at_each_step(self) -> tuple[str, ...]:
        """The components that work together at every step."""
        return ("denoiser",) if self.guide is None else ("guide", "denoiser")

    @property
    def turns(self) -> tuple[tuple[str, ...], ...]:
        encoders = ((reader.name,) for reader in self.readers)
        return (*encoders, self.at_each_step, ("autoencoder",))

    @property
    def usual(self) -> Work:
        return Work(
            height=self.side,
            width=self.side,
            steps=FEW_STEPS if self.consistent else USUAL_STEPS,
            guided=not self.consistent,
        )

    def stages(self, work: Work) -> tuple[Stage, ...]:
        factor = self.autoencoder.factor
        height, width = work.height or self.side, work.width or self.side
        guided = self.usual.guided if work.guided is None else work.guided
        planes = replace(
            work,
            height=-(-height // factor),
            width=-(-width // factor),
            tokens=self.tokens,
            steps=work.steps or self.usual.steps,
            guided=guided,
        )
        texts = work.batch * (2 if guided else 1)
        guides = () if self.guide is None else self.guide.stages(planes)
        picture = replace(work, height=height, width=width)
        return (
            *(reader.stage(texts) for reader in self.readers),
            *guides,
            self.denoiser.denoising(planes),
            self.autoencoder.decoding(picture),
        )


DOES = ("imagine",)
