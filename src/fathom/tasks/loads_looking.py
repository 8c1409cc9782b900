"""Made-up work for towers that see, segmenters, detectors and recursive solvers."""

from __future__ import annotations

from fathom.models.detector import Detector
from fathom.models.recursive import Recursive
from fathom.models.segmenter import ABSENT, INSIDE, Segmenter
from fathom.models.vision import PictureEncoder, PictureText
from fathom.spec.vision import VisionEncoder
from fathom.spec.work import Work
from fathom.tasks.loads import Made, Passes


def picture_encoder(module: PictureEncoder, work: Work, made: Made) -> Passes:
    """One pass over as many pictures as are asked for at once."""
    pixels = made.numbers(*_pictures(module.spec.sight.tower, work))
    return {"vision": lambda: module(pixels)}


def picture_text(module: PictureText, work: Work, made: Made) -> Passes:
    """Pictures, and as many texts."""
    pixels = made.numbers(*_pictures(module.spec.vision.tower, work))
    tokens = made.tokens(module.spec.vocabulary, work.batch, work.tokens or 1)
    return {"vision": lambda: module.vision(pixels), "text": lambda: module.text(tokens)}


def _pictures(tower: VisionEncoder, work: Work) -> tuple[int, int, int, int]:
    height, width = tower.picture
    return work.batch, tower.embedding.channels, work.height or height, work.width or width


def segmenter(module: Segmenter, work: Work, made: Made) -> Passes:
    """A picture, and a prompt of one point about it."""
    tower = module.spec.vision
    pixels = made.numbers(work.batch, tower.patches.inputs, *tower.picture)
    seen = [module.seen(pixels)[:1]]
    points = made.numbers(1, 2, 2).float().abs()
    kinds = made.tokens(1, 1, 2) + INSIDE
    kinds[:, 1] = ABSENT

    def look() -> None:
        seen[0] = module.seen(pixels)[:1]

    return {"vision": look, "prompts": lambda: module.answered(seen[0], points, kinds)}


def detector(module: Detector, work: Work, made: Made) -> Passes:
    """A picture and a text, each by itself, then both together."""
    spec = module.spec
    height, width = work.height or 1, work.width or 1
    pixels = made.numbers(work.batch, spec.vision.patches.inputs, height, width)
    tokens = made.tokens(spec.vocabulary, work.batch, work.tokens or 1)
    view, read = [module.seen(pixels)], [module.text(tokens)]
    both = [(view[0].states, read[0][0])]

    def see() -> None:
        view[0] = module.seen(pixels)

    def reading() -> None:
        read[0] = module.text(tokens)

    def meet() -> None:
        both[0] = module.enhanced(view[0], *read[0])

    def find() -> object:
        return module.decoder(*both[0], view[0].of)

    return {"vision": see, "text": reading, "enhancer": meet, "decoder": find}


def recursive(module: Recursive, work: Work, made: Made) -> Passes:
    """A round after the other."""
    tokens = made.tokens(module.spec.vocabulary, work.batch, module.spec.length)
    question, carry = module.question(tokens), module.start(work.batch)
    return {"refining": lambda: module.round(question, carry)}
