"""What a model is asked to do at once, and the stages in which it does it.

A text model's costs follow from its layers, token by token (`planning.costs`). A model of pictures
or sound is asked for something of a size, and does it in stages: it looks, then it denoises fifty
times, then it decodes. Each such spec states its stages in closed form, and forecast, memory plan
and explanation read them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fathom.spec.parts import Convolution, Linear, Part, leaves

# Numbers read and written for each: two for a norm, an activation or a copy, three for a sum or a
# product, and what a rotation takes in halves, products and their joining.
MAPPED, ADDED, TURNED = 2, 3, 9


@dataclass(frozen=True)
class Work:
    """How much is asked for at once. Each model reads what concerns it; None is its usual."""

    batch: int = 1  # pictures, sounds or puzzles side by side
    height: int | None = None  # of a picture, in pixels
    width: int | None = None
    frames: int | None = None  # pictures of one request, or of a video
    seconds: float | None = None  # of sound
    tokens: int | None = None  # of the text beside it
    written: int | None = None  # tokens of the answer
    steps: int | None = None  # of denoising, or of refining an answer
    guided: bool | None = None  # each step with and without the prompt


@dataclass(frozen=True)
class Stage:
    """A part of a model at work: one pass over all that was asked for, done `passes` times.

    `operations` are of one pass, a multiplication and an addition being two. `live` counts the
    numbers held at the largest moment of a pass beside the weights, `kept` those that stay until
    the answer is there: embeddings, latents, keys and values. `filtered` counts those operations
    that convolutions of three by three state, which kernels may do with fewer.

    `rows` are the vectors that pass its maps together, 0 where they are so many that products are
    at their quickest. Where they are few, `attended` are those operations that look at others'
    keys and values. `moved` counts the numbers that norms, activations, sums and copies read and
    write outside layers of tokens, and a pass goes `turns` times through the part.
    """

    name: str  # "vision", "denoiser", "decoder" …
    part: Part
    operations: int
    passes: int = 1
    live: int = 0
    kept: int = 0
    filtered: int = 0
    rows: int = 0
    attended: int = 0
    moved: int = 0
    turns: int = 1


@dataclass(frozen=True)
class About:
    """What a kind of model is: its class, the rule that decides it, what goes in and comes out.

    `tasks` are names of `spec.tasks.TASKS`, first the one that it is there for.
    """

    model_class: str
    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tasks: tuple[str, ...]


@runtime_checkable
class Staged(Protocol):
    """A model that works in stages: the spec of everything that is not text alone."""

    def parts(self) -> Mapping[str, Part | None]:
        """Return its parts by name: the components that may lie in memory by themselves."""

    @property
    def about(self) -> About: ...

    @property
    def usual(self) -> Work:
        """What is asked for when nobody says: every field that concerns the model is stated."""

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Return the stages of some work, in order; what `work` leaves open is as in `usual`."""


@runtime_checkable
class Prompted(Staged, Protocol):
    """A model in whose prompt what it sees or hears takes places beside text."""

    @property
    def context(self) -> int:
        """The most places that a prompt and its answer may have."""

    def taken(self, work: Work) -> Mapping[str, int]:
        """Return the places that one of each kind takes, such as ``{"picture": 576}``."""


@runtime_checkable
class Pipeline(Staged, Protocol):
    """A model whose components work in turns, so that the others may rest meanwhile."""

    @property
    def turns(self) -> tuple[tuple[str, ...], ...]:
        """Names of parts, those together that work together, in the order in which they work."""


def passing(part: Part, rows: int) -> int:
    """Return the operations of `rows` vectors, or positions of an output, passing a part's maps.

    Of stacked maps each row passes the chosen ones. Right where every map of the part sees the
    same number of rows; a part that changes resolution adds up its own.
    """
    total = 0
    for _, leaf in leaves(part):
        if isinstance(leaf, Linear):
            total += leaf.inputs * leaf.outputs * leaf.passed
        elif isinstance(leaf, Convolution):
            total += leaf.per_position
    return 2 * rows * total
