"""From a picture to the numbers that a model was trained on, as its publisher says in data.

``preprocessor_config.json`` states a size, a crop, a scale, means and deviations, and padding.
The steps act on bytes until the last: there each byte becomes a number by a table of 256 per
colour, which is exactly what arithmetic pixel by pixel gives, and quicker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ConfigError
from fathom.inputs.pictures import Picture, Pixels

WHERE = "preprocessor_config.json"
LARGEST_SIDE = 1 << 14  # pixels; no published model takes a tenth of it

Filter: TypeAlias = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
FILTERS: tuple[Filter, ...] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters, in the order of their numbers in a configuration."""


@dataclass(frozen=True)
class Exactly:
    """A picture becomes so high and so wide, whatever its proportions."""

    height: int
    width: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        return self.height, self.width


@dataclass(frozen=True)
class ShortestEdge:
    """The shorter side becomes `edge`, the other in proportion, and no longer than `longest`."""

    edge: int
    longest: int | None = None

    def size(self, height: int, width: int) -> tuple[int, int]:
        short, long = min(height, width), max(height, width)
        edge = float(self.edge)
        if self.longest is not None and long / short * edge > self.longest:
            edge = self.longest * short / long
        ours = round(edge)
        other = long if ours == short else max(1, int(edge * long / short))
        return (ours, other) if height <= width else (other, ours)


@dataclass(frozen=True)
class LongestEdge:
    """The longer side becomes `edge`, the other in proportion, rounded."""

    edge: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        scale = self.edge / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


Size: TypeAlias = Exactly | ShortestEdge | LongestEdge


@dataclass(frozen=True)
class Prepared:
    """What a model is given: float32 (3, height, width), and the sizes on the way there.

    `original` is (height, width) of the picture, `resized` after resizing and before padding:
    what is needed to find a place of the one in the other.
    """

    values: NDArray[np.float32]
    original: tuple[int, int]
    resized: tuple[int, int]


@dataclass(frozen=True)
class PictureProcessor:
    """Resize, crop the middle, scale and normalise, pad at the right and below; each if stated.

    `mean` and `deviation` are of the scaled colours. `pad` is (height, width) in the end.
    """

    resize: Size | None
    resample: Filter = "bicubic"
    crop: tuple[int, int] | None = None
    scale: float | None = 1 / 255
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] | None = None
    pad: tuple[int, int] | None = None

    def __call__(self, picture: Picture) -> Prepared:
        """Return the numbers of a picture."""
        pixels = picture.pixels
        if self.resize is not None:
            height, width = self.resize.size(picture.height, picture.width)
            pixels = resize(pixels, height, width, self.resample)
        resized = int(pixels.shape[0]), int(pixels.shape[1])
        if self.crop is not None:
            pixels = centre_crop(pixels, *self.crop)
        values = self.normalised(pixels)
        if self.pad is not None:
            values = pad(values, *self.pad)
        return Prepared(values, (picture.height, picture.width), resized)

    def normalised(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return pixels (height, width, 3) as float32 (3, height, width), scaled and normalised."""
        table = self._table()
        values = np.empty((3, *pixels.shape[:2]), dtype=np.float32)
        for colour in range(3):
            np.take(table[colour], pixels[..., colour], out=values[colour])
        return values

    def _table(self) -> NDArray[np.float32]:
        """Return what each byte becomes, (3, 256); in the order and types of the reference."""
        byte = np.arange(256, dtype=np.float64)
        values = byte if self.scale is None else byte * self.scale
        table = np.tile(values.astype(np.float32), (3, 1))
        if self.mean is None or self.deviation is None:
            return table
        mean = np.array(self.mean, dtype=np.float32)[:, None]
        deviation = np.array(self.deviation, dtype=np.float32)[:, None]
        normal: NDArray[np.float32] = (table - mean) / deviation
        return normal


def resize(pixels: Pixels, height: int, width: int, resample: Filter) -> Pixels:
    """Return a picture of another size, made with one of Pillow's filters."""
    if pixels.shape[:2] == (height, width):
        return pixels
    from PIL import Image

    image = Image.fromarray(pixels).resize((width, height), resample=FILTERS.index(resample))
    return np.asarray(image)


def centre_crop(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return the middle of a picture, with black around it where it is too small."""
    had_height, had_width = pixels.shape[:2]
    room = max(height, had_height), max(width, had_width)
    if room != (had_height, had_width):
        around = np.zeros((*room, 3), dtype=np.uint8)
        top, left = ceil((room[0] - had_height) / 2), ceil((room[1] - had_width) / 2)
        around[top : top + had_height, left : left + had_width] = pixels
        top += (had_height - height) // 2
        left += (had_width - width) // 2
        return around[max(0, top) : top + height, max(0, left) : left + width]
    top, left = (had_height - height) // 2, (had_width - width) // 2
    return pixels[top : top + height, left : left + width]


def pad(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return (3, height, width) with zeros at the right and below.

    Raises:
        ConfigError: when the picture is larger already.
    """
    missing = height - values.shape[1], width - values.shape[2]
    if min(missing) < 0:
        raise ConfigError(
            f"{WHERE}: pictures of {values.shape[1]} × {values.shape[2]} are to be padded to"
            f" {height} × {width}; take the file of the original model"
        )
    return np.pad(values, ((0, 0), (0, missing[0]), (0, missing[1])))


# What publishers leave out, by the name of the processor that their file states.
HALF = (0.5, 0.5, 0.5)
CLIP = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Usual:
    """What a kind of processor does where its file is silent. `square`: a bare size is a square."""

    size: Mapping[str, int]
    resample: Filter
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    crop: int | None = None
    square: bool = False
    pad: int | None = None


_USUAL_CLIP = Usual({"shortest_edge": 224}, "bicubic", CLIP["mean"], CLIP["std"], crop=224)
USUAL: Mapping[str, Usual] = {
    "vit": Usual({"height": 224, "width": 224}, "bilinear", HALF, HALF, square=True),
    "deit": Usual({"height": 256, "width": 256}, "bicubic", HALF, HALF, crop=224, square=True),
    "clip": _USUAL_CLIP,
    "bit": _USUAL_CLIP,
    "mllama": Usual({"height": 224, "width": 224}, "bilinear", HALF, HALF),
    "siglip": Usual({"height": 224, "width": 224}, "bicubic", HALF, HALF),
    "gemma3": Usual({"height": 224, "width": 224}, "bilinear", HALF, HALF),
    "sam": Usual({"longest_edge": 1024}, "bilinear", _IMAGENET["mean"], _IMAGENET["std"], pad=1024),
    "groundingdino": Usual(
        {"shortest_edge": 800, "longest_edge": 1333},
        "bilinear",
        _IMAGENET["mean"],
        _IMAGENET["std"],
    ),
}
_ENDINGS = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")


def read_processor(config: Mapping[str, object]) -> PictureProcessor:
    """Return the processor that a ``preprocessor_config.json`` states.

    Raises:
        ConfigError: for a processor that is not known, or a value that makes no sense.
    """
    stated = Stated(own_section(config))
    usual = stated.usual(USUAL)
    cropped = stated.flag("do_center_crop", usual.crop is not None)
    padded = stated.flag("do_pad", usual.pad is not None) and usual.pad is not None
    return replace(
        stated.numbers(usual),
        resize=stated.resize(usual) if stated.flag("do_resize", True) else None,
        crop=stated.sides("crop_size", usual.crop) if cropped else None,
        pad=stated.sides("pad_size", usual.pad) if padded else None,
    )


def own_section(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return what a file says of pictures: a ``processor_config.json`` says it in a section."""
    nested = config.get("image_processor")
    return nested if isinstance(nested, Mapping) else config


class Stated:
    """A configuration that answers typed questions; every answer is bounded."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def usual(self, known: Mapping[str, Usual]) -> Usual:
        """Return what the named kind of processor usually does."""
        kind = self.kind()
        if kind not in known:
            raise ConfigError(
                f"{WHERE}: the processor '{kind or 'of no name'}' is not known; known are"
                f" {', '.join(known)}"
            )
        return known[kind]

    def numbers(self, usual: Usual) -> PictureProcessor:
        """Return the filter, and how bytes become numbers; nothing of sizes."""
        scale = self.number("rescale_factor", 1 / 255)
        normalised = self.flag("do_normalize", True)
        return PictureProcessor(
            resize=None,
            resample=self.filter(usual.resample),
            scale=scale if self.flag("do_rescale", True) else None,
            mean=self.colours("image_mean", usual.mean) if normalised else None,
            deviation=self.colours("image_std", usual.deviation) if normalised else None,
        )

    def kind(self) -> str:
        """Return the name of the processor, less what all of them end in."""
        keys = ("image_processor_type", "feature_extractor_type")
        kind = next((str(self.values[key]) for key in keys if self.values.get(key)), "")
        for ending in _ENDINGS:
            kind = kind.removesuffix(ending)
        return kind.lower()

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._refuse(key, "true or false")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self._refuse(key, "a finite number")
        return float(value)

    def filter(self, default: Filter) -> Filter:
        value = self.values.get("resample")
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(FILTERS):
            raise self._refuse("resample", f"a filter's number from 0 to {len(FILTERS) - 1}")
        return FILTERS[value]

    def colours(self, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        value = self.values.get(key)
        if value is None:
            return default
        listed = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
        numbers = [float(one) for one in listed if isinstance(one, int | float) and isfinite(one)]
        if len(numbers) != 3 or len(listed) != 3 or (key == "image_std" and 0.0 in numbers):
            raise self._refuse(key, "three finite numbers, one per colour")
        return numbers[0], numbers[1], numbers[2]

    def resize(self, usual: Usual) -> Size:
        """Return how large a picture becomes: a bare number is a square or a shorter side."""
        value = self.values.get("size")
        if isinstance(value, int) and not isinstance(value, bool):
            side = self._side("size", value)
            return Exactly(side, side) if usual.square else ShortestEdge(side)
        if value is not None and not isinstance(value, Mapping):
            raise self._refuse("size", "a number or an object of sides")
        sides = usual.size if value is None else value
        found = {name: self._side("size", side) for name, side in sides.items() if side is not None}
        match found:
            case {"height": height, "width": width}:
                return Exactly(height, width)
            case {"shortest_edge": edge, **rest}:
                return ShortestEdge(edge, rest.get("longest_edge"))
            case {"longest_edge": edge}:
                return LongestEdge(edge)
        raise self._refuse("size", "height and width, shortest_edge, or longest_edge")

    def edge(self, key: str, name: str, default: int, most: int = LARGEST_SIDE) -> int:
        """Return one number of an object of sides."""
        held = self.values.get(key)
        value = held.get(name) if isinstance(held, Mapping) else None
        return default if value is None else self._side(key, value, most)

    def sides(self, key: str, default: int | None) -> tuple[int, int]:
        value = self.values.get(key)
        if value is None:
            value = default
        if isinstance(value, Mapping):
            return self._side(key, value.get("height")), self._side(key, value.get("width"))
        return self._side(key, value), self._side(key, value)

    def _side(self, key: str, value: object, most: int = LARGEST_SIDE) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._refuse(key, "whole numbers")
        if not 1 <= value <= most:
            raise self._refuse(key, f"sides from 1 to {most:,}")
        return value

    def whole(self, key: str, default: int, most: int = LARGEST_SIDE) -> int:
        """Return a whole number above zero."""
        return default if self.values.get(key) is None else self._side(key, self.values[key], most)

    def _refuse(self, key: str, wanted: str) -> ConfigError:
        shown = repr(self.values.get(key))[:60]
        return ConfigError(f"{WHERE}: '{key}' must be {wanted}, not {shown}")
