"""Pictures of seeds: a generator's vectors, styles between two of them, and how usual they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fathom.errors import RequestError, UnsupportedTaskError
from fathom.inputs.pictures import Pixels, encode_picture, write_picture
from fathom.models.generator import Generator

MOST_SEED = 2**32 - 1  # of the random numbers that its authors drew vectors with
MOST_FRAMES = 10_000


@dataclass(frozen=True)
class Chosen:
    """What a picture is made of: a seed, how near to the average it lies, and its kind.

    A `truncation` of 1 leaves a style as it is; with less pictures become more usual and more
    alike. `noise` is that of the weights unless it is drawn anew, by the seed.
    """

    seed: int = 0
    truncation: float = 1.0
    kind: int | None = None
    fresh_noise: bool = False


@dataclass(frozen=True)
class Generated:
    """A picture of bytes (height, width, 3), and what it was made of.

    One between two seeds has another, `towards` which it lies, and what `part` of the way there.
    """

    pixels: Pixels
    chosen: Chosen
    seconds: float
    towards: int | None = None
    part: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pixels.shape[:2]
        return width, height

    def encoded(self, kind: str = "png") -> bytes:
        """Return the picture as the bytes of a file."""
        return encode_picture(self.pixels, kind)

    def save(self, path: str | Path) -> None:
        """Write the picture; the name's ending says as what."""
        write_picture(Path(path), self.pixels)


class Drawer:
    """A generator, and what it draws for seeds."""

    def __init__(self, model: Generator) -> None:
        self.model = model
        self.device = next(model.parameters()).device

    def picture(self, chosen: Chosen) -> Generated:
        """Return the picture of a seed.

        Raises:
            RequestError: for a seed, truncation or kind that makes no sense.
            UnsupportedTaskError: for a truncation where no average is kept.
        """
        begun = time.perf_counter()
        style = self._style(chosen)
        return Generated(self._drawn(style, chosen), chosen, time.perf_counter() - begun)

    def between(self, chosen: Chosen, other: int, frames: int) -> Iterator[Generated]:
        """Yield pictures from one seed to another, both included, evenly along their styles.

        Raises:
            RequestError: for fewer than two frames or too many, and as `picture`.
            UnsupportedTaskError: as `picture`.
        """
        if not 2 <= frames <= MOST_FRAMES:
            raise RequestError(f"{frames} frames are not possible; give 2 to {MOST_FRAMES:,}")
        first = self._style(chosen)
        last = self._style(Chosen(other, chosen.truncation, chosen.kind))
        return self._along(first, last, chosen, other, frames)

    def _along(
        self, first: Tensor, last: Tensor, chosen: Chosen, other: int, frames: int
    ) -> Iterator[Generated]:
        for number in range(frames):
            begun, part = time.perf_counter(), number / (frames - 1)
            pixels = self._drawn(torch.lerp(first, last, part), chosen)
            yield Generated(pixels, chosen, time.perf_counter() - begun, other, part)

    def _style(self, chosen: Chosen) -> Tensor:
        """Return the style of a seed, (1, width)."""
        spec = self.model.spec.mapping
        if not 0 <= chosen.seed <= MOST_SEED:
            raise RequestError(f"a seed is a whole number from 0 to {MOST_SEED:,}")
        if not -10.0 <= chosen.truncation <= 10.0:
            raise RequestError(
                f"a truncation of {chosen.truncation:g} is not possible; give 0 to 1"
            )
        if chosen.truncation != 1.0 and not spec.average:
            raise UnsupportedTaskError(
                "this generator keeps no average style; leave truncation out"
            )
        drawn = np.random.RandomState(chosen.seed).randn(1, spec.latent)  # as its authors draw it
        latent = torch.from_numpy(drawn).to(self.device, torch.float32)
        with torch.inference_mode():
            style = self.model.mapping(latent, self._kind(chosen.kind))
            return self.model.nearer(style, chosen.truncation)

    def _kind(self, kind: int | None) -> Tensor | None:
        """Return a one among zeros, (1, kinds), where the generator has several kinds."""
        kinds = self.model.spec.mapping.kinds
        if not kinds:
            if kind is not None:
                raise RequestError("this generator draws one kind of picture; leave the kind out")
            return None
        if kind is None or not 0 <= kind < kinds:
            raise RequestError(f"say which kind of picture to draw, from 0 to {kinds - 1}")
        return torch.nn.functional.one_hot(torch.tensor([kind], device=self.device), kinds).float()

    def _drawn(self, style: Tensor, chosen: Chosen) -> Pixels:
        chance = None
        if chosen.fresh_noise:
            chance = torch.Generator(self.device).manual_seed(chosen.seed)
        with torch.inference_mode():
            picture = self.model.drawn(style, chance)[0].float()
        values = (picture * 127.5 + 128).clamp(0, 255).to(torch.uint8)  # as its authors round
        return values.expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()
