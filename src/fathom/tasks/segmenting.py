"""Segmenting: prompts about a picture answered with masks, or all that it shows.

A picture is looked at once; what was seen is kept for further prompts. Each prompt is brought
into the model's own pixels, and its masks back into the picture's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fathom.errors import PictureError, RequestError
from fathom.generation.stage_meter import StageMeter
from fathom.inputs.masks import Places
from fathom.inputs.picture_processing import PictureProcessor
from fathom.inputs.pictures import Picture, Source, read_picture
from fathom.models.segmenter import (
    ABSENT,
    FIRST_CORNER,
    INSIDE,
    LAST_CORNER,
    OUTSIDE,
    Drawn,
    Segmenter,
)

KEPT = 4  # pictures whose embeddings are remembered
AT_ONCE = 64  # prompts that one pass answers
MOST_PROMPTS = 10_000
OFFSET = 1.0  # from the border of a mask, where its stability is judged


@dataclass(frozen=True)
class Point:
    """A place in a picture, in its pixels, inside of what is meant or outside of it."""

    x: float
    y: float
    inside: bool = True


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture, in its pixels, around what is meant."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Prompt:
    """What is meant: points, a box, or both together."""

    points: tuple[Point, ...] = ()
    box: Box | None = None

    @property
    def doubtful(self) -> bool:
        """Whether it may mean several things: a single point, on a part and on the whole."""
        return self.box is None and len(self.points) == 1


@dataclass(frozen=True)
class Mask:
    """What belongs together: True inside, (height, width), with facts about it.

    `quality` is the intersection over union that the model expects, `stability` how little the
    mask depends on where its border is drawn. The `box` (left, top, right, bottom) holds the first
    and last places inside; `prompt` is the number of the prompt that it answers.
    """

    inside: Places
    quality: float
    stability: float
    box: tuple[int, int, int, int]
    prompt: int = 0

    @property
    def area(self) -> int:
        """Pixels inside."""
        return int(self.inside.sum())


@dataclass(frozen=True)
class Everything:
    """How all that a picture shows is found: as Kirillov et al., 2023, appendix B.

    A grid of `side` by `side` points is asked; masks that are expected to be worse than `quality`
    or depend more on their border than `stability` are left out, and of two whose boxes overlap by
    more than `overlap` the worse.
    """

    side: int = 32
    quality: float = 0.88
    stability: float = 0.95
    overlap: float = 0.7


@dataclass(frozen=True)
class Scene:
    """What was seen in a picture: (1, width, rows, columns), and its sizes on the way there."""

    seen: Tensor
    original: tuple[int, int]
    resized: tuple[int, int]


class Marker:
    """A segmenter, how its publisher prepares pictures, and what it saw in the last ones."""

    def __init__(
        self, model: Segmenter, how: PictureProcessor, meter: StageMeter | None = None
    ) -> None:
        self.model = model
        self.how = how
        self.meter = meter or StageMeter()
        self.device = next(model.parameters()).device
        self._scenes: OrderedDict[bytes, Scene] = OrderedDict()

    def scene(self, source: Source) -> Scene:
        """Return what is seen in a picture, from memory if it was looked at lately."""
        picture = read_picture(source)
        name = _fingerprint(picture)
        if name not in self._scenes:
            self._scenes[name] = self._looked(picture)
            if len(self._scenes) > KEPT:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(name)
        return self._scenes[name]

    def _looked(self, picture: Picture) -> Scene:
        prepared = self.how(picture)
        expected = self.model.spec.vision.picture
        if prepared.values.shape[1:] != expected:
            raise RequestError(
                f"pictures come out {prepared.values.shape[1:]} and the model takes {expected};"
                " take preprocessor_config.json from the original model"
            )
        pixels = torch.from_numpy(prepared.values)[None].to(self.device)
        with torch.inference_mode(), self.meter.stage("vision"):
            return Scene(self.model.seen(pixels), prepared.original, prepared.resized)

    def segment(
        self, picture: Source, prompts: Sequence[Prompt], several: bool | None = None
    ) -> list[list[Mask]]:
        """Return the masks of each prompt, best first.

        Raises:
            RequestError: for no prompts, too many, or one that is empty.
            PictureError: for a point or a box outside of the picture.
        """
        if not 1 <= len(prompts) <= MOST_PROMPTS:
            raise RequestError(f"give from 1 to {MOST_PROMPTS:,} prompts, not {len(prompts):,}")
        scene = self.scene(picture)
        for prompt in prompts:
            _check(prompt, *scene.original)
        return [
            self._masks(scene, drawn, number, prompt.doubtful if several is None else several)
            for number, (prompt, drawn) in enumerate(
                zip(prompts, self._answers(scene, prompts), strict=True)
            )
        ]

    def _answers(self, scene: Scene, prompts: Sequence[Prompt]) -> Iterator[Drawn]:
        """Yield the answers to each prompt; those with as many marks are asked together."""
        marks = [_marks(prompt) for prompt in prompts]
        found: dict[int, Drawn] = {}
        for length in sorted({len(kinds) for _, kinds in marks}):
            alike = [place for place, (_, kinds) in enumerate(marks) if len(kinds) == length]
            for start in range(0, len(alike), AT_ONCE):
                some = alike[start : start + AT_ONCE]
                drawn = self._asked(scene, [marks[place] for place in some])
                for row, place in enumerate(some):
                    rows = slice(row, row + 1)
                    found[place] = Drawn(drawn.scores[rows], drawn.quality[rows])
        yield from (found[place] for place in range(len(prompts)))

    def _asked(self, scene: Scene, marks: Sequence[tuple[list[list[float]], list[int]]]) -> Drawn:
        """Return the answers to prompts with as many marks each."""
        places = torch.tensor([points for points, _ in marks], device=self.device)
        kinds = torch.tensor([kinds for _, kinds in marks], device=self.device)
        factors = [new / old for new, old in zip(scene.resized, scene.original, strict=True)]
        places = places * torch.tensor(factors[::-1], device=self.device)
        with torch.inference_mode(), self.meter.stage("prompts"):
            return self.model.answered(scene.seen, places, kinds)

    def _masks(self, scene: Scene, drawn: Drawn, number: int, several: bool) -> list[Mask]:
        """Return the masks of one prompt, best first."""
        chosen = slice(1, None) if several else slice(0, 1)
        quality = drawn.quality[0, chosen].float()
        scores = self._enlarged(scene, drawn.scores[0, chosen])
        order = quality.argsort(descending=True).tolist()
        return [_mask(scores[place], float(quality[place]), number) for place in order]

    def _enlarged(self, scene: Scene, scores: Tensor) -> Tensor:
        """Return scores (masks, rows, columns) at the picture's size; padding is cut off."""
        height, width = scene.resized
        fine = functional.interpolate(
            scores.float()[None], self.model.spec.vision.picture, mode="bilinear"
        )
        return functional.interpolate(fine[..., :height, :width], scene.original, mode="bilinear")[
            0
        ]

    def everything(self, picture: Source, how: Everything) -> list[Mask]:
        """Return a mask for all that a picture shows, best first; numbers are of the grid's points.

        Raises:
            RequestError: for a grid of no points, or limits that are no parts of one.
        """
        parts = (how.quality, how.stability, how.overlap)
        if not 1 <= how.side**2 <= MOST_PROMPTS or not all(0 <= part <= 1 for part in parts):
            raise RequestError(
                f"a grid of {how.side} by {how.side} points with limits {parts}: take 1 to 100"
                " points on a side and limits from 0 to 1"
            )
        scene = self.scene(picture)
        height, width = scene.original
        line = (np.arange(how.side) + 0.5) / how.side
        points = [Point(float(x) * width, float(y) * height) for y in line for x in line]
        found: list[Mask] = []
        answers = self._answers(scene, [Prompt((point,)) for point in points])
        for number, drawn in enumerate(answers):
            found += self._good(scene, drawn, number, how)
        return _suppressed(found, how.overlap)

    def _good(self, scene: Scene, drawn: Drawn, number: int, how: Everything) -> list[Mask]:
        """Return those masks of a point that are worth keeping."""
        quality = drawn.quality[0, 1:].float()
        likely = (quality > how.quality).nonzero()[:, 0]
        if not len(likely):
            return []
        scores = self._enlarged(scene, drawn.scores[0, 1:][likely])
        masks = [
            _mask(one, float(quality[place]), number)
            for one, place in zip(scores, likely.tolist(), strict=True)
        ]
        return [mask for mask in masks if mask.stability > how.stability]


def _fingerprint(picture: Picture) -> bytes:
    seen = blake2b(repr(picture.pixels.shape).encode())
    seen.update(np.ascontiguousarray(picture.pixels).data)
    return seen.digest()


def _check(prompt: Prompt, height: int, width: int) -> None:
    """Refuse a prompt that means nothing in a picture of this size."""
    if not prompt.points and prompt.box is None:
        raise RequestError("a prompt needs a point or a box")
    for point in prompt.points:
        if not (0 <= point.x < width and 0 <= point.y < height):
            raise PictureError(
                f"the point {point.x:g},{point.y:g} lies outside of the picture, which is"
                f" {width} × {height} pixels"
            )
    box = prompt.box
    if box is None:
        return
    if not (0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height):
        raise PictureError(
            f"the box {box.left:g},{box.top:g},{box.right:g},{box.bottom:g} does not lie in the"
            f" picture, which is {width} × {height} pixels; give its left, top, right and bottom"
        )


def _marks(prompt: Prompt) -> tuple[list[list[float]], list[int]]:
    """Return a prompt's places and what each is for; without a box, one that is absent follows."""
    places = [[point.x, point.y] for point in prompt.points]
    kinds = [INSIDE if point.inside else OUTSIDE for point in prompt.points]
    box = prompt.box
    if box is None:
        return [*places, [0.0, 0.0]], [*kinds, ABSENT]
    corners = [[box.left, box.top], [box.right, box.bottom]]
    return [*places, *corners], [*kinds, FIRST_CORNER, LAST_CORNER]


def _mask(scores: Tensor, quality: float, number: int) -> Mask:
    """Return the mask of scores (height, width), cut at zero."""
    inside = (scores > 0).cpu().numpy()
    surely, perhaps = int((scores > OFFSET).sum()), int((scores > -OFFSET).sum())
    return Mask(inside, quality, surely / perhaps if perhaps else 0.0, _box(inside), number)


def _box(inside: Places) -> tuple[int, int, int, int]:
    """Return the first and last column and row inside, as (left, top, right, bottom)."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _suppressed(masks: Sequence[Mask], overlap: float) -> list[Mask]:
    """Return masks best first, without those whose box a better one's covers nearly."""
    ordered = sorted(masks, key=lambda mask: -mask.quality)
    if not ordered:
        return []
    boxes = torch.tensor([mask.box for mask in ordered], dtype=torch.float32)
    left = torch.ones(len(ordered), dtype=torch.bool)
    for place in range(len(ordered)):
        if left[place]:
            left[place + 1 :] &= _shared(boxes[place], boxes[place + 1 :]) <= overlap
    return [mask for mask, stays in zip(ordered, left.tolist(), strict=True) if stays]


def _shared(box: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of a box (4) with others (n, 4)."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = (others[:, 2:] - others[:, :2]).prod(dim=1) + (box[2:] - box[:2]).prod()
    return shared / (areas - shared).clamp(min=1e-9)
