"""Pictures ↔ arrays: files of strangers decoded within bounds, results written.

Every picture becomes (height, width, 3) bytes of red, green and blue, upright and opaque, however
it was stored. What had to be decided for that (which frame, what lies behind the transparent) is
told in its notes.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fathom.errors import PictureError, WriteError

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = NDArray[np.uint8]  # (height, width, 3)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MOST_BYTES = 256 << 20  # of a file
MOST_PIXELS = 89_478_485  # where Pillow begins to warn: 268 MB of bytes
MOST_ANIMATED = 1 << 29  # pixels of all frames together: 1.6 GB of bytes
_REMEDY = "export it again as PNG or JPEG"
_BLACK_AND_UP = ("I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Picture:
    """A decoded picture: its pixels, (height, width, 3), and what was decided to get them."""

    pixels: Pixels
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


Source: TypeAlias = "str | Path | bytes | Pixels | Image.Image | Picture"


def read_picture(source: Source) -> Picture:
    """Return a picture from a file, its bytes, an array of pixels or a Pillow picture.

    It is turned upright as its EXIF data say and put on white where it is transparent. Of an
    animation the first frame is taken, of 16 bits the upper 8; the notes say so.

    Raises:
        PictureError: for what is no picture, or is broken, too large or in a form that has no
            agreed meaning in 8 bits; the message names the remedy.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return Picture(_checked(source))
    require_pillow()
    name = str(source) if isinstance(source, str | Path) else "the picture"
    with _complaining(name):
        opened = _opened(source, name)
        _require_bounds(opened.size, name)
        opened.load()
        return _decoded(opened, name)


def read_frames(source: str | Path | bytes, most: int) -> tuple[tuple[Picture, ...], float]:
    """Return the frames of an animated file, upright and opaque, and how many seconds they last.

    Raises:
        PictureError: as `read_picture`, and for more than `most` frames or too many pixels in all.
    """
    require_pillow()
    from PIL import ImageSequence

    name = "the video" if isinstance(source, bytes) else str(source)
    with _complaining(name):
        opened = _opened(source, name)
        count = int(getattr(opened, "n_frames", 1))
        if count > most or count * opened.width * opened.height > MOST_ANIMATED:
            raise PictureError(
                f"{name} has {count:,} frames of {opened.width} × {opened.height}, too many to"
                f" hold; give up to {most:,} smaller ones, or some of them as pictures"
            )
        frames, milliseconds = [], 0.0
        for frame in ImageSequence.Iterator(opened):
            frame.load()  # some formats tell only then how long it lasts
            milliseconds += float(frame.info.get("duration", 0) or 0)
            frames.append(Picture(_decoded(frame.copy(), name).pixels))
    return tuple(frames), milliseconds / 1000


def count_frames(file: Path) -> int:
    """Return how many frames a file has, of which only headers are read.

    Raises:
        PictureError: as `read_picture`.
    """
    require_pillow()
    with _complaining(str(file)):
        return int(getattr(_opened(file, str(file)), "n_frames", 1))


def require_pillow() -> None:
    """Refuse in one line where the package that decodes pictures is not installed."""
    if find_spec("PIL") is None:
        raise PictureError("pictures need Pillow: pip install 'fathom-models[pictures]'")


def _checked(pixels: Pixels) -> Pixels:
    """Return an array of pixels, if it is one."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise PictureError(
            f"an array of {pixels.dtype} with the shape {list(pixels.shape)} is no picture;"
            " give (height, width, 3) numbers from 0 to 255 as uint8"
        )
    _require_bounds((pixels.shape[1], pixels.shape[0]), "the picture")
    return pixels


def _opened(source: str | Path | bytes | Image.Image, name: str) -> Image.Image:
    """Return a picture of which only the header was read."""
    from PIL import Image

    if isinstance(source, Image.Image):
        return source
    content = source if isinstance(source, bytes) else _content(Path(source))
    if not content:
        raise PictureError(f"{name} is empty; give a picture ({', '.join(FORMATS)})")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)  # remarks on metadata that nothing here reads
        try:
            return Image.open(io.BytesIO(content), formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _too_large(name) from None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MOST_BYTES:
                raise PictureError(
                    f"{path.name} has {size:,} bytes, more than the {MOST_BYTES:,} that a picture"
                    " may have; save it smaller"
                )
            return stream.read(MOST_BYTES)
    except (FileNotFoundError, IsADirectoryError):
        raise PictureError(f"{path}: no such picture; check the path") from None


def _require_bounds(size: tuple[int, int], name: str) -> None:
    """Refuse before memory is taken: the size stands in the header."""
    width, height = size
    if width < 1 or height < 1:
        raise PictureError(f"{name} is {width} × {height} pixels; give one that has some")
    if width * height > MOST_PIXELS:
        raise _too_large(name)


def _too_large(name: str) -> PictureError:
    return PictureError(
        f"{name} has more than {MOST_PIXELS / 1e6:.0f} million pixels; save it smaller"
    )


def _decoded(image: Image.Image, name: str) -> Picture:
    notes = []
    if getattr(image, "is_animated", False):
        notes.append("it is an animation or has several pages; the first is taken")
    upright, turned = _upright(image)
    if turned is not None:
        notes.append(turned)
    if upright.mode in _BLACK_AND_UP:
        notes.append("it has 16 bits; the upper 8 are taken")
        grey = (np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8)
        return Picture(np.repeat(grey[..., None], 3, axis=2), tuple(notes))
    if upright.mode in ("I", "F"):
        raise PictureError(
            f"{name} holds {'whole numbers of 32 bits' if upright.mode == 'I' else 'fractions'},"
            f" of which nobody says what is white; {_REMEDY}"
        )
    if "A" in upright.getbands() or "a" in upright.getbands() or "transparency" in upright.info:
        notes.append("what is transparent lies on white")
        upright = _on_white(upright)
    return Picture(np.array(upright.convert("RGB")), tuple(notes))


def _upright(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Return a picture as it was held, and a note where its EXIF data cannot be read."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image), None
    except Exception:  # noqa: BLE001  # a parser of foreign bytes; the pixels are sound without it
        return image, "its EXIF data are broken; it is taken as it lies"


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", opaque.size, (255, 255, 255, 255)), opaque)


@contextmanager
def _complaining(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into one error of ours; Pillow's raise nearly anything."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"{name} is no picture of a known format; known are {', '.join(FORMATS)}"
        ) from None
    except PermissionError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines()
        detail = said[0].rstrip(".")[:200] if said else type(error).__name__
        raise PictureError(f"{name} is broken: {detail}; {_REMEDY}") from error


# The format of a file by its ending, and how well it keeps the picture.
_SAVING: Mapping[str, tuple[str, Mapping[str, int]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".webp": ("WEBP", {"lossless": True}),
}


def write_picture(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (height, width, 3) colours or (height, width) greys, whole or not at all.

    Raises:
        PictureError: for an ending other than .png, .jpg, .jpeg or .webp.
        WriteError: the disk is full or cannot be written; nothing is left behind.
    """
    content = encode_picture(pixels, file.suffix)
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise WriteError(f"{file} cannot be written ({error.strerror}); choose another") from error
    finally:
        partial.unlink(missing_ok=True)


def encode_picture(pixels: NDArray[np.uint8], ending: str = ".png") -> bytes:
    """Return the bytes of a picture file; arguments and errors as `write_picture`."""
    require_pillow()
    from PIL import Image

    if ending.lower() not in _SAVING:
        raise PictureError(f"'{ending}' is no ending of a picture; use {', '.join(_SAVING)}")
    stream = io.BytesIO()
    kind, options = _SAVING[ending.lower()]
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, **options)
    return stream.getvalue()
