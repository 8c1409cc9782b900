"""The autoencoder: pictures to latents, latents to pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.blocks.autoencoding import PlaneDecoder, PlaneEncoder, TinyNetwork
from fathom.blocks.bricks import Convolution
from fathom.blocks.build import Block
from fathom.spec import autoencoder as spec

LEAST_LOGARITHM, MOST_LOGARITHM = -30.0, 20.0  # of a variance, beyond which none is meant


class Autoencoder(Block):
    """Pictures are (batch, channels, height, width) in [-1, 1], latents as the encoder gives them.

    picture ─ encoder ─ after ─► latents ─ before ─ decoder ─► picture
    """

    encoder: PlaneEncoder | TinyNetwork
    after: Convolution | None
    before: Convolution | None
    decoder: PlaneDecoder | TinyNetwork

    def __init__(self, described: spec.Autoencoder) -> None:
        super().__init__(described)
        self.spec = described
        self.tiny = isinstance(described.encoder, spec.TinyNetwork)

    def forward(self, picture: Tensor) -> Tensor:
        """Return pictures after the way there and back."""
        return self.decode(self.encode(picture))

    def encode(self, picture: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return latents: a variational encoder's means, or with a `generator` a sample."""
        found = self.moments(picture)
        if not self.spec.variational:
            return found
        mean, logarithm = found.chunk(2, dim=1)
        if generator is None:
            return mean
        deviation = torch.exp(0.5 * logarithm.clamp(LEAST_LOGARITHM, MOST_LOGARITHM))
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + deviation * noise.to(mean.device)

    def moments(self, picture: Tensor) -> Tensor:
        """Return what the encoder gives: (batch, latents or twice as many, height, width)."""
        picture = picture.contiguous(memory_format=torch.channels_last)
        found = self.encoder(picture.add(1).div(2) if self.tiny else picture)
        return found if self.after is None else self.after(found)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the pictures of latents."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        latents = latents if self.before is None else self.before(latents)
        if self.tiny:  # bounded softly, and made for pictures in [0, 1]
            return self.decoder(torch.tanh(latents / 3) * 3).mul(2).sub(1)
        return self.decoder(latents)

    def to_denoiser(self, latents: Tensor) -> Tensor:
        """Return latents as a denoiser works on them."""
        if self.spec.mean:
            mean, deviation = self._statistics(latents)
            return (latents - mean) * self.spec.scale / deviation
        return (latents - self.spec.shift) * self.spec.scale

    def from_denoiser(self, latents: Tensor) -> Tensor:
        """Return what `to_denoiser` was given."""
        if self.spec.mean:
            mean, deviation = self._statistics(latents)
            return latents * deviation / self.spec.scale + mean
        return latents / self.spec.scale + self.spec.shift

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        mean, deviation = (
            torch.tensor(stated, device=latents.device, dtype=latents.dtype)[:, None, None]
            for stated in (self.spec.mean, self.spec.deviation)
        )
        return mean, deviation
