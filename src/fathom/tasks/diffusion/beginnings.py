"""Where a way out of the noise begins: noise alone, or a picture with noise on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fathom.errors import RequestError
from fathom.inputs.pictures import Source, read_picture
from fathom.tasks.autoencode import Coder, to_planes
from fathom.tasks.diffusion.results import Wish
from fathom.tasks.diffusion.schedules import Schedule
from fathom.tasks.diffusion.steps import mix


@dataclass(frozen=True)
class Prepared:
    """A picture in the size in which it is worked on: (1, 3, height, width) in [-1, 1]."""

    planes: Tensor
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        return int(self.planes.shape[3]), int(self.planes.shape[2])


def prepared(source: Source, size: tuple[int, int] | None, factor: int) -> Prepared:
    """Return a picture of a size (width, height), or its own less what is no multiple of `factor`.

    Raises:
        PictureError: as `read_picture`.
    """
    from PIL import Image

    picture = read_picture(source)
    own = (picture.width - picture.width % factor, picture.height - picture.height % factor)
    wanted = size or own
    if min(wanted) < 1:
        raise RequestError(
            f"the picture is smaller than {factor} pixels on a side; take a larger one"
        )
    image = Image.fromarray(picture.pixels)
    notes = picture.notes
    if wanted != image.size:
        image = image.resize(wanted, Image.Resampling.LANCZOS)
        notes = (*notes, f"the picture was {picture.width} × {picture.height} pixels")
    return Prepared(to_planes(np.array(image)), notes)


@dataclass(frozen=True)
class Beginning:
    """Latents to begin with, at which step, and what else is held beside them.

    What is `outside` of a mask is put back after every step; `more` channels lie beside the
    latents whenever the denoiser looks.
    """

    latents: Tensor
    first: int = 0
    more: Tensor | None = None
    mask: Tensor | None = None
    outside: Tensor | None = None
    noise: Tensor | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def beside(self, planes: Tensor) -> Tensor:
        """Return planes with the channels that lie beside them."""
        return planes if self.more is None else torch.cat((planes, self.more), dim=1)

    def kept(self, plan: Schedule, index: int, planes: Tensor) -> Tensor:
        """Return planes with what is outside of the mask as noisy as step `index` begins."""
        if self.mask is None or self.outside is None or self.noise is None:
            return planes
        outside = self.outside
        if index < plan.steps:
            outside = mix(plan, index, outside, self.noise).to(planes.dtype)
        return (1 - self.mask) * outside + self.mask * planes


def begin(
    coder: Coder,
    wish: Wish,
    plan: Schedule,
    size: tuple[int, int],
    generator: torch.Generator,
    channels: int,
) -> Beginning:
    """Return where a wish begins; the denoiser takes so many channels.

    Raises:
        RequestError: when the model needs a picture and a mask, or steps leave nothing to do.
        PictureError: for a picture or a mask that is none.
    """
    fills = channels == 2 * coder.spec.latents + 1
    if fills and wish.mask is None:
        raise RequestError("this model fills in pictures; give a picture and a mask")
    if wish.picture is None:
        noise = _noise(coder, size, generator)
        return Beginning(noise * plan.start)
    picture = prepared(wish.picture, size, coder.spec.factor)
    first = _first(wish, plan)
    if wish.mask is None:
        latents = _encoded(coder, picture.planes, generator)
        mixed = mix(plan, first, latents, _noise(coder, size, generator)).to(latents.dtype)
        return Beginning(mixed, first, notes=picture.notes)
    return _filling(coder, wish, plan, picture, generator, fills)


def _first(wish: Wish, plan: Schedule) -> int:
    steps = plan.asked
    done = min(int(steps * wish.strength), steps)
    if done < 1:
        raise RequestError(
            f"a strength of {wish.strength} leaves none of {steps} steps to do; raise one of them"
        )
    return steps - done


def _filling(
    coder: Coder,
    wish: Wish,
    plan: Schedule,
    picture: Prepared,
    generator: torch.Generator,
    fills: bool,
) -> Beginning:
    """Begin to fill in what is bright in the mask.

    A denoiser that was not trained to fill in has the rest put back after each step. For the same
    noise as the reference's, the generator is asked as often as there, in the same order.
    """
    first, size = _first(wish, plan), picture.size
    whole = None if fills else _encoded(coder, picture.planes, generator)
    if whole is None and wish.strength < 1:
        whole = _encoded(coder, picture.planes, generator)
    noise = _noise(coder, size, generator)
    latents = noise * plan.start
    if wish.strength < 1 and whole is not None:
        latents = mix(plan, first, whole, noise).to(noise.dtype)
    if wish.mask is None:
        raise RequestError("what is to be filled in is said by a mask; give one")
    bright = _bright(wish.mask, size)
    factor = coder.spec.factor
    sides = size[1] // factor, size[0] // factor
    mask = functional.interpolate(bright, size=sides).to(latents.device, latents.dtype)
    if fills:
        hidden = _encoded(coder, picture.planes * (bright < 0.5), generator)
        more = torch.cat((mask, hidden), dim=1)
        return Beginning(latents, first, more=more, notes=picture.notes)
    if coder.spec.variational:  # the reference encodes here what it then does not use
        _noise(coder, size, generator)
    return Beginning(latents, first, mask=mask, outside=whole, noise=noise, notes=picture.notes)


def _bright(source: Source, size: tuple[int, int]) -> Tensor:
    """Return a mask of ones and zeros, (1, 1, height, width)."""
    from PIL import Image

    image = Image.fromarray(read_picture(source).pixels)
    image = image.resize(size, Image.Resampling.LANCZOS).convert("L")
    return torch.tensor(np.array(image))[None, None].float().div(255).ge(0.5).float()


def _noise(coder: Coder, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    factor = coder.spec.factor
    shape = (1, coder.spec.latents, size[1] // factor, size[0] // factor)
    dtype: torch.dtype = getattr(torch, coder.dtype)
    return torch.randn(shape, generator=generator, dtype=dtype).to(coder.device)


def _encoded(coder: Coder, planes: Tensor, generator: torch.Generator) -> Tensor:
    """Return a picture's latents as the denoiser has them."""
    planes = planes.to(coder.device, getattr(torch, coder.dtype))
    return coder.model.to_denoiser(coder.model.encode(planes, generator))
