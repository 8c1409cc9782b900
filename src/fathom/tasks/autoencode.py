"""Pictures to latents and back, in one piece or in tiles, as memory allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log10
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fathom.blocks.pyramid import channels_last
from fathom.errors import DoesNotFitError, RequestError
from fathom.generation.stage_meter import StageMeter
from fathom.inputs.pictures import Picture, Pixels, Source, read_picture
from fathom.models.autoencoder import Autoencoder
from fathom.planning.costs import BYTES
from fathom.planning.machine import this_machine
from fathom.spec import autoencoder as spec
from fathom.spec.work import Work
from fathom.tasks.tiling import Tiles

SHARE = 0.6  # of the free memory that one piece may take; the rest is for what is not foreseen
LEAST_TILE = 8  # latents a side


@dataclass(frozen=True)
class Reconstruction:
    """A picture after the way to latents and back.

    `latents` are (channels, height, width) as the encoder gives them; `decibels` is the ratio of
    the largest value to the error (PSNR), higher being closer; `tiles` is how many pieces each
    way took.
    """

    pixels: Pixels
    latents: NDArray[np.float32]
    decibels: float
    tiles: int
    seconds: float
    notes: tuple[str, ...] = ()


class Coder:
    """Drives an autoencoder: pixels in, pixels out."""

    def __init__(
        self,
        model: Autoencoder,
        described: spec.Autoencoder,
        dtype: str,
        device: torch.device | None = None,
        meter: StageMeter | None = None,
    ) -> None:
        self.meter = meter or StageMeter()
        self.model = channels_last(model)
        self.spec = described
        self.dtype = dtype
        self.device = next(model.parameters()).device if device is None else device

    @torch.inference_mode()
    def autoencode(
        self, source: Source, size: tuple[int, int] | None = None, tile: int | None = None
    ) -> Reconstruction:
        """Return a picture after the way there and back, and how close it is to the first.

        Raises:
            PictureError: as `read_picture`.
            RequestError: for a size or a tile that cannot be.
        """
        picture, began = resized(read_picture(source), size), perf_counter()
        self.meter.work = Work(height=picture.height, width=picture.width)
        latents = self.encode(self.numbers(picture), tile)
        back = self.decode(latents, tile)[:, :, : picture.height, : picture.width]
        pixels = to_pixels(back)[0]
        return Reconstruction(
            pixels=pixels,
            latents=latents[0].float().cpu().numpy(),
            decibels=decibels(picture.pixels, pixels),
            tiles=self.tiles(picture.height, picture.width, tile),
            seconds=perf_counter() - began,
            notes=picture.notes,
        )

    @torch.inference_mode()
    def interpolate(self, first: Source, second: Source, count: int) -> list[Pixels]:
        """Return `count` pictures from the first to the second, both ends included.

        The second takes the size of the first.

        Raises:
            PictureError: as `read_picture`.
            RequestError: for fewer than two.
        """
        if count < 2:
            raise RequestError(
                f"{count} pictures: from one to another there are at least 2; ask for more"
            )
        start = read_picture(first)
        end = resized(read_picture(second), (start.width, start.height))
        ends = [self.encode(self.numbers(each)) for each in (start, end)]
        found = []
        for share in np.linspace(0.0, 1.0, count):
            made = self.decode(torch.lerp(ends[0], ends[1], float(share)))
            found.append(to_pixels(made[:, :, : start.height, : start.width])[0])
        return found

    def numbers(self, picture: Picture) -> Tensor:
        """Return a picture as the model takes it, its edges repeated up to whole latents."""
        planes = to_planes(picture.pixels)
        factor = self.spec.factor
        below, beside = -picture.height % factor, -picture.width % factor
        planes = functional.pad(planes, (0, beside, 0, below), mode="replicate")
        return planes.to(self.device, getattr(torch, self.dtype))

    def encode(
        self, planes: Tensor, tile: int | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return latents of pictures (batch, channels, height, width) in [-1, 1]."""
        tiles = self._tiles(planes.shape[2], planes.shape[3], tile, self.spec.encoding)
        if tiles is not None and generator is not None:
            raise RequestError("a sample of latents is taken in one piece; leave out the tiles")
        with self.meter.stage("encoder"):
            if tiles is None:
                return self.model.encode(planes, generator)
            return tiles.apply(self.model.encode, planes)

    def decode(self, latents: Tensor, tile: int | None = None) -> Tensor:
        """Return pictures (batch, channels, height, width) of latents."""
        factor = self.spec.factor
        height, width = latents.shape[2] * factor, latents.shape[3] * factor
        tiles = self._tiles(height, width, tile, self.spec.decoding)
        with self.meter.stage("decoder"):
            if tiles is None:
                return self.model.decode(latents)
            return Tiles(tiles.outputs, tiles.inputs).apply(self.model.decode, latents)

    def tiles(self, height: int, width: int, tile: int | None) -> int:
        """Return in how many pieces a picture is made of latents."""
        tiles = self._tiles(height, width, tile, self.spec.decoding)
        return 1 if tiles is None else tiles.count(height, width)

    def _tiles(
        self, height: int, width: int, tile: int | None, stage: Callable[[Work], object]
    ) -> Tiles | None:
        """Return the tiles of a picture; None where it passes in one piece."""
        factor = self.spec.factor
        if tile is None:
            if self._fits(height, width):
                return None
            tile = max(self.spec.size, LEAST_TILE * factor)
        if tile < LEAST_TILE * factor or tile % factor:
            raise RequestError(
                f"a tile of {tile} pixels is not possible: it must be {LEAST_TILE * factor} or"
                f" more, and a multiple of {factor}"
            )
        if max(height, width) <= tile:
            return None
        return Tiles(tile, tile // factor)

    def _fits(self, height: int, width: int) -> bool:
        """Whether the memory of this machine holds the widest moment of a whole picture."""
        free = (
            this_machine().memory_available
            if self.device.type == "cpu"
            else torch.cuda.mem_get_info(self.device)[0]
        )
        work = Work(height=height, width=width)
        live = max(stage.live for stage in self.spec.stages(work))
        if BYTES[self.dtype] * height * width * self.spec.channels * 4 > free:
            raise DoesNotFitError(
                f"a picture of {width} × {height} pixels alone needs more memory than is free;"
                " make it smaller with --size"
            )
        return BYTES[self.dtype] * live <= SHARE * free


def resized(picture: Picture, size: tuple[int, int] | None) -> Picture:
    """Return a picture of a size (width, height), by cubic interpolation.

    Raises:
        RequestError: for a size that no picture has.
    """
    if size is None or size == (picture.width, picture.height):
        return picture
    width, height = size
    if min(size) < 1 or width * height > 1 << 26:
        raise RequestError(f"a size of {width} × {height} pixels is not possible; name another")
    from PIL import Image

    image = Image.fromarray(picture.pixels).resize(size, Image.Resampling.BICUBIC)
    note = f"it was {picture.width} × {picture.height} pixels"
    return Picture(np.array(image), (*picture.notes, note))


def to_planes(pixels: Pixels) -> Tensor:
    """Return (height, width, 3) bytes as (1, 3, height, width) numbers in [-1, 1]."""
    planes = torch.tensor(pixels).permute(2, 0, 1)[None]
    return planes.float() / 255 * 2 - 1


def to_pixels(planes: Tensor) -> list[Pixels]:
    """Return (batch, 3, height, width) numbers in [-1, 1] as pictures of bytes."""
    bounded = (planes.float() / 2 + 0.5).clamp(0, 1) * 255
    rounded = bounded.round().to(torch.uint8).permute(0, 2, 3, 1).cpu()
    return [np.ascontiguousarray(each) for each in rounded.numpy()]


def decibels(first: Pixels, second: Pixels) -> float:
    """Return how close two pictures are: 10 · log10(255² / mean squared error)."""
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * log10(255**2 / error)
