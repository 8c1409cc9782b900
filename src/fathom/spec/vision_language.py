"""Models that see and write: a tower, a connector, and a decoder that reads what comes through.

Liu et al., 2023 (arXiv 2304.08485; arXiv 2310.03744): the tower's states of a picture's patches,
mapped to the width of the stream, stand in the prompt in places of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fathom.spec.decoder import Decoder
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Linear, Part
from fathom.spec.roles import Role
from fathom.spec.vision import VisionEncoder
from fathom.spec.work import About, Stage, Work, passing
from fathom.spec.writing import USUAL_TOKENS, USUAL_WRITTEN, writing_stages


@dataclass(frozen=True)
class Connector:
    """``down(activation(up(x)))`` from what is seen, of `inputs`, to the stream's `width`."""

    inputs: int
    width: int
    activation: Activation = "gelu"
    bias: bool = True

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "up": Linear(self.inputs, self.width, Role.DENSE, self.bias),
            "down": Linear(self.width, self.width, Role.DENSE, self.bias),
        }


@dataclass(frozen=True)
class Seeing:
    """How much of a tower is read: the states after so many of its layers, for each of `depths`.

    Several stand side by side. What stands before the patches, such as a summary, is left out
    unless it is kept.
    """

    depths: tuple[int, ...]
    keeps_summary: bool = False

    @property
    def layers(self) -> int:
        """Layers that are computed; those beyond are never asked."""
        return max(self.depths)


@dataclass(frozen=True)
class VisionLanguage:
    """A tower whose states of a picture go through a connector into a decoder's prompt.

    `placeholder` is the token in whose places they stand, once for each.
    """

    vision: VisionEncoder
    seeing: Seeing
    connector: Connector
    decoder: Decoder
    placeholder: int

    def parts(self) -> Mapping[str, Part | None]:
        return {"vision": self.vision, "connector": self.connector, "decoder": self.decoder}

    @property
    def about(self) -> About:
        return About(
            "VLM",
            "a tower that sees, whose states stand in the prompt of a decoder that writes",
            ("text", "picture"),
            ("text",),
            ("chat", "generate"),
        )

    @property
    def context(self) -> int:
        return self.decoder.context

    @property
    def vocabulary(self) -> int:
        return self.decoder.vocabulary

    @property
    def usual(self) -> Work:
        height, width = self.vision.picture
        return Work(
            height=height,
            width=width,
            frames=1,
            tokens=USUAL_TOKENS,
            written=USUAL_WRITTEN,
        )

    def places(self, height: int, width: int) -> int:
        """Return how many places of a prompt a picture takes."""
        kept = 0 if self.seeing.keeps_summary else self.vision.embedding.before
        return self.vision.length(height, width) - kept

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Three: looking, reading the prompt with what was seen, and writing token by token."""
        height, width = work.height or 0, work.width or 0
        pictures = work.batch * (work.frames or 0)
        read = (work.tokens or 0) + (work.frames or 0) * self.places(height, width)
        written = work.written or 0
        looking = self._looking(pictures, height, width)
        return (looking, *writing_stages(self.decoder, work.batch, read, written))

    def _looking(self, pictures: int, height: int, width: int) -> Stage:
        asked = replace(self.vision, layers=self.vision.layers[: self.seeing.layers])
        rows = pictures * self.places(height, width)
        operations = asked.operations(pictures, height, width) + passing(self.connector, rows)
        pixels = pictures * asked.embedding.channels * height * width
        live = pixels + asked.live(pictures, height, width)
        return Stage("vision", self.vision, operations, live=live, kept=rows * self.connector.width)
