"""Models that see and write: a tower, a connector, and a decoder that reads what comes through.

Liu et al., 2023 (arXiv 2304.08485; arXiv 2310.03744): the tower's states of a picture's patches,
mapped to the width of the stream, stand in the prompt in places of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fathom.spec.decoder import Decoder
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Linear, Norm, Part
from fathom.spec.picture_sizes import WHOLE, Native, Shown, Sizing
from fathom.spec.positions import Rotary
from fathom.spec.roles import Role
from fathom.spec.vision import VisionEncoder
from fathom.spec.work import About, Stage, Work, passing
from fathom.spec.writing import USUAL_TOKENS, USUAL_WRITTEN, writing_stages

TOGETHER = 4  # pictures, tiles or frames that a tower is shown at once: it is full with these


@dataclass(frozen=True)
class Connector:
    """``down(activation(up(x)))`` from what is seen, of `inputs`, to the stream's `width`.

    Between both maps are `inner` numbers, as many as the stream has unless said; a `single` map
    stands alone. Before, squares of `side` × `side` neighbours become one: `beside` one another,
    row by row, or their `mean`. `before` is a norm of each state, `norm` of what became one.
    """

    inputs: int
    width: int
    activation: Activation = "gelu"
    bias: bool = True
    single: bool = False
    inner: int | None = None
    side: int = 1
    merged: Literal["beside", "mean"] = "beside"
    before: Norm | None = None
    norm: Norm | None = None

    def parts(self) -> Mapping[str, Part | None]:
        merged = self.inputs * self.side**2 if self.merged == "beside" else self.inputs
        inner = self.width if self.single or self.inner is None else self.inner
        down = Linear(inner, self.width, Role.DENSE, self.bias)
        return {
            "before": self.before,
            "norm": self.norm,
            "up": Linear(merged, inner, Role.DENSE, self.bias),
            "down": None if self.single else down,
        }


@dataclass(frozen=True)
class Seeing:
    """How much of a tower is read: the states after so many of its layers, for each of `depths`.

    Several stand side by side. What stands before the patches, such as a summary, is left out
    unless it is kept. The tower's own norm is of what is read where it is `normed`.
    """

    depths: tuple[int, ...]
    keeps_summary: bool = False
    normed: bool = False

    @property
    def layers(self) -> int:
        """Layers that are computed; those beyond are never asked."""
        return max(self.depths)


@dataclass(frozen=True)
class Layout:
    """The text around a picture's places in a prompt, as its publisher writes it.

    Of a picture that is cut, `tile` stands before the places of each, with ``{row}`` and
    ``{column}`` counted from 1, `row_end` after a row of tiles and `rows_end` after all; `whole`
    stands before the places of the whole picture, `begin` and `end` around everything.
    """

    begin: str = ""
    tile: str = ""
    row_end: str = ""
    rows_end: str = ""
    whole: str = ""
    end: str = ""

    def written(self, shown: Shown, places: str) -> str:
        """Return the text of a picture; `places` is that of one tile."""
        rows = "".join(
            "".join(
                self.tile.format(row=row, column=column) + places
                for column in range(1, shown.columns + 1)
            )
            + self.row_end
            for row in range(1, shown.rows + 1)
        )
        between = self.rows_end if shown.rows else ""
        return self.begin + rows + between + self.whole + places + self.end


@dataclass(frozen=True)
class Moving:
    """How videos are seen: so many `frames` together, as one picture that moves.

    `placeholder` is the token in whose places they stand, and what a template leaves for a video.
    In the decoder's positions groups of frames are `per_second` apart for each second between
    them, or one where that is None; where they are `timed`, what follows goes on behind the last.
    Of a second `rate` frames are looked at, of all no fewer than `least` and no more than `most`.
    """

    placeholder: int
    frames: int
    sizing: Native
    per_second: float | None = None
    rate: float = 2.0
    least: int = 4
    most: int = 768
    timed: bool = False


@dataclass(frozen=True)
class VisionLanguage:
    """A tower whose states of a picture go through a connector into a decoder's prompt.

    `placeholder` is the token in whose places they stand, once for each; a template leaves one
    `mark` for a picture, the same token unless said. Where tokens see `ahead`, those of a picture
    see all of it, or those of a prompt all of that. Without a chat template a `question` stands
    between two texts, after its pictures.
    """

    vision: VisionEncoder
    seeing: Seeing
    connector: Connector
    decoder: Decoder
    placeholder: int
    sizing: Sizing = WHOLE
    layout: Layout = Layout()
    mark: int | None = None
    moving: Moving | None = None
    ahead: Literal["picture", "prompt"] | None = None
    question: tuple[str, str] | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {"vision": self.vision, "connector": self.connector, "decoder": self.decoder}

    @property
    def about(self) -> About:
        return About(
            "VLM",
            "a tower that sees, whose states stand in the prompt of a decoder that writes",
            ("text", "picture", *(("video",) if self.moving else ())),
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

    @property
    def spread(self) -> bool:
        """Whether places stand in rows and columns for the decoder's positions, too."""
        turns = (getattr(layer.mixer, "positions", None) for layer in self.decoder.layers)
        return any(isinstance(turn, Rotary) and turn.axes is not None for turn in turns)

    def places(self, height: int, width: int) -> int:
        """Return how many places of a prompt a picture takes, all its tiles together.

        Raises:
            PictureError: for a picture that no model is shown: too narrow.
        """
        shown = self.sizing.shown(height, width)
        return shown.count * self.seen(shown.height, shown.width)

    def taken(self, work: Work) -> Mapping[str, int]:
        """Return the places that a picture takes."""
        return {"picture": self.places(work.height or 0, work.width or 0)}

    def seen(self, height: int, width: int) -> int:
        """Return the vectors of one picture or tile, at the size at which the tower sees it."""
        kept = 0 if self.seeing.keeps_summary else self.vision.embedding.before
        return (self.vision.length(height, width) - kept) // self.connector.side**2

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Three: looking, reading the prompt with what was seen, and writing token by token.

        `frames` counts the pictures of a request, which are looked at one after the other.
        """
        height, width = work.height or 0, work.width or 0
        pictures, places = work.frames or 0, self.places(height, width)
        read = (work.tokens or 0) + pictures * places
        looking = replace(
            self._looking(work.batch, self.sizing.shown(height, width)),
            passes=pictures,
            kept=work.batch * pictures * places * self.connector.width,
        )
        return (looking, *writing_stages(self.decoder, work.batch, read, work.written or 0))

    def _looking(self, batch: int, shown: Shown) -> Stage:
        """Return the work of looking at `batch` pictures, no more than so many at once."""
        asked = replace(self.vision, layers=self.vision.layers[: self.seeing.layers])
        pictures, size = batch * shown.count, (shown.height, shown.width)
        operations = asked.operations(pictures, *size)
        operations += passing(self.connector, pictures * self.seen(*size))
        once = min(pictures, TOGETHER)
        pixels = asked.embedding.channels * asked.embedding.frames * shown.height * shown.width
        live = pictures * pixels + asked.live(once, *size)
        rows = pictures * asked.length(*size)
        return Stage("vision", self.vision, operations, live=live, rows=rows)
