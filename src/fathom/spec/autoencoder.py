"""Pictures to latents, a small picture of many channels, and back.

The ground of latent diffusion: Rombach et al., 2021 (arXiv 2112.10752). The tiny ones are
distilled from the large ones (madebyollin/taesd).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Convolution, GroupNorm, Part, convolution
from fathom.spec.pyramid import Doubling, Level, Middle, Tally
from fathom.spec.work import ADDED, MAPPED, About, Stage, Work


@dataclass(frozen=True)
class PlaneEncoder:
    """Planes in, at the same or a lower resolution; a norm and an activation before the last."""

    enter: Convolution
    levels: tuple[Level, ...]
    middle: Middle
    norm: GroupNorm
    leave: Convolution
    activation: Activation = "silu"

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "enter": self.enter,
            "levels": self.levels,
            "middle": self.middle,
            "norm": self.norm,
            "leave": self.leave,
        }

    def pass_through(self, tally: Tally) -> None:
        """Add what a picture costs here."""
        tally.convolve(self.enter)
        for level in self.levels:
            level.pass_through(tally)
        self.middle.pass_through(tally)
        tally.need(2 * tally.positions * self.norm.channels)
        tally.moved += 2 * MAPPED * tally.positions * self.norm.channels
        tally.convolve(self.leave)


@dataclass(frozen=True)
class PlaneDecoder:
    """The way back: the middle first, then level by level to the full resolution."""

    enter: Convolution
    middle: Middle
    levels: tuple[Level, ...]
    norm: GroupNorm
    leave: Convolution
    activation: Activation = "silu"

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "enter": self.enter,
            "middle": self.middle,
            "levels": self.levels,
            "norm": self.norm,
            "leave": self.leave,
        }

    def pass_through(self, tally: Tally) -> None:
        """Add what a picture costs here."""
        tally.convolve(self.enter)
        self.middle.pass_through(tally)
        for level in self.levels:
            level.pass_through(tally)
        tally.need(2 * tally.positions * self.norm.channels)
        tally.moved += 2 * MAPPED * tally.positions * self.norm.channels
        tally.convolve(self.leave)


@dataclass(frozen=True)
class Pooled:
    """What a tiny block adds first: a wider look at its own channels, normed in four groups."""

    channels: int
    inner: int

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "widen": convolution(self.channels, self.inner, 1, bias=False),
            "norm": GroupNorm(self.inner, 4, 1e-5),
            "narrow": convolution(self.inner, self.channels, 1, bias=False),
        }


@dataclass(frozen=True)
class TinyBlock:
    """Three convolutions with an activation between; what came in is added, and clipped at zero."""

    channels: int
    activation: Activation = "relu"
    pooled: Pooled | None = None

    def parts(self) -> Mapping[str, Part | None]:
        one = convolution(self.channels, self.channels)
        return {"pooled": self.pooled, "convolutions": (one, one, one)}

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        came = tally.positions * self.channels
        tally.held += came
        if self.pooled is not None:
            tally.convolve(convolution(self.channels, self.pooled.inner, 1))
            tally.need(2 * tally.positions * self.pooled.inner)
            tally.convolve(convolution(self.pooled.inner, self.channels, 1))
            tally.moved += 2 * MAPPED * tally.positions * self.pooled.inner + ADDED * came
        for _ in range(3):
            tally.convolve(convolution(self.channels, self.channels))
        tally.moved += 3 * MAPPED * came + ADDED * came
        tally.held -= came


Step: TypeAlias = Convolution | TinyBlock | Doubling


@dataclass(frozen=True)
class TinyNetwork:
    """Convolutions and blocks in a row. An activation may follow the first convolution."""

    steps: tuple[Step, ...]
    activation: Activation | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {"steps": self.steps}

    def pass_through(self, tally: Tally) -> None:
        """Add what a picture costs here."""
        for step in self.steps:
            if isinstance(step, Convolution):
                tally.convolve(step)
            else:
                step.pass_through(tally)


@dataclass(frozen=True)
class Autoencoder:
    """A picture of `channels` becomes latents, `factor` times smaller on each side, and back.

    A denoiser works on ``(latents - shift) · scale``, or with a mean and a deviation per channel
    on ``(latents - mean) · scale / deviation``. A `variational` encoder gives for each latent a
    mean and the logarithm of a variance. `size` is the side of the pictures that it was made for.
    """

    channels: int
    latents: int
    factor: int
    size: int
    encoder: PlaneEncoder | TinyNetwork
    decoder: PlaneDecoder | TinyNetwork
    after: Convolution | None = None  # the encoder
    before: Convolution | None = None  # the decoder
    variational: bool = False
    scale: float = 1.0
    shift: float = 0.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "encoder": self.encoder,
            "after": self.after,
            "before": self.before,
            "decoder": self.decoder,
        }

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def about(self) -> About:
        return About(
            "autoencoder",
            "an encoder makes a small picture of many channels, a decoder makes pictures of those",
            ("picture", "latents"),
            ("latents", "picture"),
            ("autoencode", "interpolate"),
        )

    @property
    def usual(self) -> Work:
        return Work(height=self.size, width=self.size)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        return self.encoding(work), self.decoding(work)

    def encoding(self, work: Work) -> Stage:
        """Return the stage that makes latents of pictures."""
        tally = Tally(work.batch, work.height or self.size, work.width or self.size)
        self.encoder.pass_through(tally)
        kept = tally.positions * self.latents
        if self.after is not None:
            tally.convolve(self.after)
        return _stage("encoder", self.encoder, tally, kept)

    def decoding(self, work: Work) -> Stage:
        """Return the stage that makes pictures of latents."""
        height, width = work.height or self.size, work.width or self.size
        tally = Tally(work.batch, -(-height // self.factor), -(-width // self.factor))
        if self.before is not None:
            tally.convolve(self.before)
        self.decoder.pass_through(tally)
        kept = tally.positions * self.channels
        return _stage("decoder", self.decoder, tally, kept)

    def of_size(self, size: int) -> Autoencoder:
        """Return the same, for pictures of another size."""
        return replace(self, size=size)


def _stage(name: str, part: Part, tally: Tally, kept: int) -> Stage:
    return Stage(
        name,
        part,
        tally.operations,
        live=tally.live,
        kept=kept,
        filtered=tally.filtered,
        moved=tally.moved,
    )
