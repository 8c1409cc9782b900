"""A segmenter: a picture is looked at once, then any number of prompts mark what is meant.

Kirillov et al., 2023 (arXiv 2304.02643). A prompt is some points, a box, or both, and may come
with a mask of before. A small decoder answers it with masks, each with how good it expects to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from fathom.spec.encoder_decoder import CrossAttention
from fathom.spec.feed_forward import Activation, Mlp
from fathom.spec.grid import GridEncoder
from fathom.spec.parts import Bare, Convolution, Linear, Norm, Part, Table, convolution
from fathom.spec.roles import Role
from fathom.spec.work import ADDED, MAPPED, About, Stage, Work, passing

FINER = 4  # how much finer masks are than the grid


@dataclass(frozen=True)
class MaskPrompt:
    """A mask of before, four times as fine as the grid, becomes a state for each place."""

    width: int
    channels: int
    epsilon: float
    activation: Activation

    def parts(self) -> Mapping[str, Part | None]:
        few, many = self.channels // 4, self.channels
        return {
            "first": convolution(1, few, 2, stride=2, padding=0),
            "first_norm": Norm(few, self.epsilon, "layer", bias=True),
            "second": convolution(few, many, 2, stride=2, padding=0),
            "second_norm": Norm(many, self.epsilon, "layer", bias=True),
            "last": convolution(many, self.width, 1),
        }


@dataclass(frozen=True)
class PromptEncoder:
    """Places in a picture become states: waves of random frequencies, and what a place is for.

    The `kinds` are a point outside of what is meant, one inside, and the corners of a box.
    """

    width: int
    mask: MaskPrompt
    kinds: int = 4

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "frequencies": Bare((2, self.width // 2), Role.EMBEDDING),
            "kinds": Table(self.kinds, self.width),
            "nothing": Table(1, self.width),  # stands where a point could be
            "mask": self.mask,
            "no_mask": Table(1, self.width),
        }


@dataclass(frozen=True)
class TwoWayLayer:
    """Tokens see one another, then the places; then places see the tokens. A norm closes each.

    The `first` layer's tokens see one another without being told what they stand for.
    """

    own: CrossAttention
    tokens_to_places: CrossAttention
    feed_forward: Mlp
    places_to_tokens: CrossAttention
    epsilon: float
    first: bool

    def parts(self) -> Mapping[str, Part | None]:
        norm = Norm(self.own.width, self.epsilon, "layer", bias=True)
        return {
            "own": self.own,
            "own_norm": norm,
            "tokens_to_places": self.tokens_to_places,
            "tokens_norm": norm,
            "feed_forward": self.feed_forward,
            "feed_forward_norm": norm,
            "places_to_tokens": self.places_to_tokens,
            "places_norm": norm,
        }

    def operations(self, tokens: int, places: int) -> int:
        """Floating-point operations of one prompt."""
        crossings = (
            looking_operations(self.own, tokens, tokens),
            looking_operations(self.tokens_to_places, tokens, places),
            looking_operations(self.places_to_tokens, places, tokens),
        )
        return sum(crossings) + passing(self.feed_forward, tokens)


def looking_operations(part: CrossAttention, looking: int, seen: int) -> int:
    """Return the operations of so many states that look at as many others, all maps included."""
    one_map = 2 * part.width * part.heads * part.head_width
    return 2 * one_map * (looking + seen) + looking * part.operations(seen)


@dataclass(frozen=True)
class Chain:
    """Linear maps one after the other, with a ReLU between them."""

    inputs: int
    inner: int
    outputs: int
    depth: int

    def parts(self) -> Mapping[str, Part | None]:
        widths = [self.inputs, *[self.inner] * (self.depth - 1), self.outputs]
        maps = (Linear(a, b, Role.DENSE, bias=True) for a, b in pairwise(widths))
        return {"maps": tuple(maps)}


@dataclass(frozen=True)
class MaskDecoder:
    """Tokens of prompts and of answers, and places, see one another; then each answer is drawn.

    Answers are `several` masks and a single one for prompts that leave no doubt. A mask is the
    product of a vector, made of its token, with the places, made finer by two transposed
    convolutions. From a token of its own comes how good each mask will be: its intersection over
    union with what was meant.
    """

    width: int
    several: int
    layers: tuple[TwoWayLayer, ...]
    last: CrossAttention
    last_norm: Norm
    quality: Chain

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "quality_token": Table(1, self.width),
            "mask_tokens": Table(self.answers, self.width),
            "layers": self.layers,
            "last": self.last,
            "last_norm": self.last_norm,
            "finer": self.finer,
            "finer_norm": Norm(self.width // 4, 1e-6, "layer", bias=True),
            "finest": self.finest,
            "drawing": self.drawing,
            "quality": self.quality,
        }

    @property
    def answers(self) -> int:
        """Masks for each prompt: the single one, then the several."""
        return 1 + self.several

    @property
    def drawing(self) -> tuple[Chain, ...]:
        """What makes of each answer's token the vector that draws its mask."""
        return (Chain(self.width, self.width, self.width // 8, 3),) * self.answers

    @property
    def finer(self) -> Convolution:
        """The first step to twice as many rows and columns."""
        return convolution(self.width, self.width // 4, 2, stride=2, padding=0, transposed=True)

    @property
    def finest(self) -> Convolution:
        """The second step."""
        return convolution(
            self.width // 4, self.width // 8, 2, stride=2, padding=0, transposed=True
        )

    def operations(self, tokens: int, places: int) -> int:
        """Floating-point operations of one prompt of so many tokens, the answers' not counted."""
        tokens += 1 + self.answers
        total = sum(layer.operations(tokens, places) for layer in self.layers)
        total += looking_operations(self.last, tokens, places)
        total += passing(self.finer, places) + passing(self.finest, 4 * places)
        total += passing(self.drawing, 1) + passing(self.quality, 1)
        return total + 2 * self.answers * (self.width // 8) * FINER**2 * places

    def moved(self, places: int) -> int:
        """Numbers that one prompt has read and written of places, beside products.

        In each layer and at the end where they lie is added to them, heads are put together, and
        what was found is added and normed. Finer places have a bias, are normed and activated, and
        finer ones again; then answers are drawn.
        """
        looks = len(self.layers) + 1
        coarse = looks * 2 * (ADDED + MAPPED) * self.width
        finer = 4 * (self.width // 4) * 3 * MAPPED
        finest = FINER**2 * ((self.width // 8) * 2 * MAPPED + self.answers)
        return places * (coarse + finer + finest)


@dataclass(frozen=True)
class Segmenter:
    """An encoder that looks once, and what answers prompts about what it saw."""

    vision: GridEncoder
    prompt: PromptEncoder
    decoder: MaskDecoder

    about: ClassVar[About] = About(
        "SAM",
        "a tower that looks once, and a small decoder that answers prompts with masks",
        ("picture", "points", "boxes"),
        ("masks",),
        ("segment",),
    )

    def parts(self) -> Mapping[str, Part | None]:
        return {"vision": self.vision, "prompt": self.prompt, "decoder": self.decoder}

    @property
    def usual(self) -> Work:
        height, width = self.vision.picture
        return Work(height=height, width=width, steps=1)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Two: looking at a picture, and answering prompts of one point, one in each pass."""
        rows, columns = self.vision.grid
        places, width = rows * columns, self.decoder.width
        pixels = self.vision.picture[0] * self.vision.picture[1]
        looking = Stage(
            "vision",
            self.vision,
            self.vision.operations(work.batch),
            live=work.batch * self.vision.patches.inputs * pixels + self.vision.live(work.batch),
            kept=work.batch * places * width,
            moved=self.vision.moved(work.batch),
        )
        answers = self.decoder.answers
        fine = FINER**2 * places
        answering = Stage(
            "prompts",
            (self.prompt, self.decoder),
            self.decoder.operations(2, places),
            passes=work.batch * (1 if work.steps is None else work.steps),
            # places as they came, as they are and where they lie; then finer ones, each step twice
            live=4 * places * width + 2 * fine * (width // 8),
            kept=answers * fine,
            moved=self.decoder.moved(places),
        )
        return looking, answering
