"""What is asked of a pipeline that makes pictures, what it shows on the way, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fathom.errors import RequestError
from fathom.inputs.pictures import Pixels, Source, encode_picture, write_picture

MOST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Wish:
    """What shall become a picture.

    `guidance` is how strongly the text is followed, 1 being not at all beyond what the model does
    by itself; what it says `negative`, is kept away from. A `picture` is changed with `strength`
    between 0, which leaves it, and 1, which keeps next to nothing; where a `mask` is bright it is
    filled in. A `hint` steers a model that comes with a net for that, times `steering`.
    """

    prompt: str
    negative: str | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    size: tuple[int, int] | None = None  # width, height
    picture: Source | None = None
    strength: float = 0.8
    mask: Source | None = None
    hint: Source | None = None
    steering: float = 1.0

    def check(self) -> None:
        """Refuse what makes no sense, whatever the model.

        Raises:
            RequestError: naming the value and what it may be.
        """
        if not self.prompt.strip():
            raise RequestError("the prompt is empty; say what the picture shall show")
        if self.mask is not None and self.picture is None:
            raise RequestError("a mask says which part of a picture is filled in; give the picture")
        if not 0.0 < self.strength <= 1.0:
            raise RequestError(f"a strength of {self.strength} is not possible; give 0 to 1")
        if self.guidance is not None and not 0.0 <= self.guidance <= 1000.0:
            raise RequestError(f"a guidance of {self.guidance} is not possible; give 0 to 1000")
        if not 0 <= self.seed <= MOST_SEED:
            raise RequestError(f"a seed is a whole number from 0 to {MOST_SEED:,}")


@dataclass(frozen=True)
class Shown:
    """A step that was done: its number of all, and the picture expected now, if looked at."""

    step: int
    steps: int
    look: Callable[[], Pixels]


Watch = Callable[[Shown], None]


@dataclass(frozen=True)
class Imagined:
    """A picture that was made, and how: enough to make it again.

    `evaluations` are passes of the denoiser, of which a guided step takes two; `notes` say what
    was left out or decided.
    """

    pixels: Pixels
    prompt: str
    seed: int
    steps: int
    guidance: float
    evaluations: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        return encode_picture(self.pixels)

    def save(self, file: str | Path) -> None:
        """Write the picture, whole or not at all; the ending says in which format.

        Raises:
            PictureError: for an ending that is no picture's.
            WriteError: the disk is full or cannot be written.
        """
        write_picture(Path(file), self.pixels)
