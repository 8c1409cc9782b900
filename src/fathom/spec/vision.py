"""Towers that see: a picture cut into patches, which layers read like the tokens of a text.

Dosovitskiy et al., 2020 (arXiv 2010.11929). A tower is a part: alone with a summary and a head it
labels pictures, beside a tower that reads it compares them with texts, before a decoder it is
what that one sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from fathom.spec.attention import Attention, Pane
from fathom.spec.decoder import Embedding, Layer
from fathom.spec.encoder_decoder import CrossAttention
from fathom.spec.feed_forward import GatedMlp, Mlp
from fathom.spec.heads import Labelling, Transform
from fathom.spec.parts import Bare, Convolution, Linear, Norm, Part, Table
from fathom.spec.roles import Role
from fathom.spec.whole import WholeLayer
from fathom.spec.work import About, Stage, Work, passing


@dataclass(frozen=True)
class PatchEmbedding:
    """A picture, (batch, channels, height, width), becomes `width` numbers per patch.

    The learned positions are of a `grid` of patches, (rows, columns), and for any other taken
    `between` those: by bicubic curves, `smoothed` against aliasing or not, or of the nearest.
    Where that is None there are none, and layers turn what they compare. A patch goes through
    several `frames` of a video, (batch, channels, frames, height, width). A `summary` token
    stands before the patches and has a position of its own; `registers` stand after it and have
    none (Darcet et al., 2023, arXiv 2309.16588).
    """

    width: int
    patch: tuple[int, int]  # pixels, (height, width)
    grid: tuple[int, int]
    channels: int = 3
    bias: bool = True
    summary: bool = True
    registers: int = 0
    smoothed: bool = False
    norm: Norm | None = None
    between: Literal["bicubic", "nearest"] | None = "bicubic"
    frames: int = 1

    def parts(self) -> Mapping[str, Part | None]:
        rows, columns = self.grid
        registers = Bare((self.registers, self.width), Role.EMBEDDING)
        return {
            "patches": self.patches,
            "summary": Bare((self.width,), Role.EMBEDDING) if self.summary else None,
            "registers": registers if self.registers else None,
            "positions": Table(self.summary + rows * columns, self.width) if self.between else None,
            "norm": self.norm,
        }

    @property
    def patches(self) -> Convolution:
        """The kernel that each patch is multiplied with."""
        cut = (self.frames, *self.patch) if self.frames > 1 else self.patch
        none, close = (0,) * len(cut), (1,) * len(cut)
        return Convolution(self.channels, self.width, cut, cut, none, close, bias=self.bias)

    @property
    def before(self) -> int:
        """Tokens that stand before the patches."""
        return self.summary + self.registers

    @property
    def picture(self) -> tuple[int, int]:
        """The (height, width) that the positions were learned for, in pixels."""
        return self.grid[0] * self.patch[0], self.grid[1] * self.patch[1]

    def cut(self, height: int, width: int) -> tuple[int, int]:
        """Return how many (rows, columns) of whole patches a picture has."""
        return height // self.patch[0], width // self.patch[1]


@dataclass(frozen=True)
class VisionEncoder:
    """A tower: patches, layers in which each sees all, and a norm where there is one."""

    embedding: PatchEmbedding
    layers: tuple[Layer, ...]
    norm: Norm | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {"embedding": self.embedding, "layers": self.layers, "norm": self.norm}

    @property
    def width(self) -> int:
        return self.embedding.width

    @property
    def picture(self) -> tuple[int, int]:
        """The (height, width) of the pictures that it was trained on, in pixels."""
        return self.embedding.picture

    def length(self, height: int, width: int) -> int:
        """Return the tokens of a picture: what stands before its patches, then those."""
        rows, columns = self.embedding.cut(height, width)
        return self.embedding.before + rows * columns

    def operations(self, batch: int, height: int, width: int) -> int:
        """Floating-point operations for so many pictures, a multiplication and addition two."""
        length, grid = self.length(height, width), self.embedding.cut(height, width)
        patches = batch * (length - self.embedding.before)
        cutting = passing(self.embedding.patches, patches)
        return cutting + layers_operations(self.layers, batch, length, grid)

    def live(self, batch: int, height: int, width: int) -> int:
        """Numbers held at the largest moment of a pass, the picture itself not counted."""
        length = self.length(height, width)
        cutting = 3 * batch * length * self.width  # patches, all tokens, those with positions
        return max(cutting, layers_live(self.layers, batch * length))


def layers_operations(
    layers: Sequence[Layer], batch: int, length: int, grid: tuple[int, int] | None = None
) -> int:
    """Return the operations of layers on `batch` rows of `length` tokens, each seeing all.

    In panes of a picture, of a `grid` of (rows, columns), it sees what is in its own.
    """
    rows, total = batch * length, 0
    for layer in layers:
        reach = layer.mixer.reach if isinstance(layer.mixer, Attention) else None
        seen = length
        if grid is not None and isinstance(reach, Pane):
            seen = round(reach.seen(*grid))
        total += passing(layer, rows) + rows * layer.operations(seen)
    return total


def layers_live(layers: Sequence[Layer], rows: int) -> int:
    """Return the numbers held where a layer is at its widest, for so many tokens.

    In its feed-forward: the stream before and after the mixer, what entered it and came out, what
    enters now, and the inner numbers twice, or three times where some gate others. In its mixer:
    the stream, what enters, queries, keys and values, and their mixture.
    """
    return max((rows * _widest(layer) for layer in layers), default=0)


def _widest(layer: Layer) -> int:
    if isinstance(layer, WholeLayer):
        return layer.widest
    mixer, part = layer.mixer, layer.feed_forward
    inner = 0
    if isinstance(part, GatedMlp | Mlp):
        gates = isinstance(part, GatedMlp) or part.activation == "gelu_quick"  # x · sigmoid(1.7 x)
        inner = (3 if gates else 2) * part.inner
    heads = 0
    if isinstance(mixer, Attention):
        heads = 2 * (mixer.heads + mixer.kv_heads) * mixer.head_width
    return max(5 * mixer.width + inner, 3 * mixer.width + heads)


@dataclass(frozen=True)
class Reading:
    """What tokens say together: the summary's, the mean of the patches, or both side by side.

    A `norm` is of what was read, and then a `transform` where there is one.
    """

    of: Literal["summary", "patches", "both"]
    norm: Norm | None = None
    transform: Transform | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {"norm": self.norm, "transform": self.transform}

    def operations(self, batch: int, length: int) -> int:
        """Floating-point operations for so many pictures of `length` tokens."""
        return passing(self, batch)


@dataclass(frozen=True)
class AttentionPooling:
    """A learned query looks at all tokens; ``x + feed_forward(norm(x))`` of what it found.

    Lee et al., 2018 (arXiv 1810.00825).
    """

    attention: CrossAttention
    norm: Norm
    feed_forward: Mlp

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "probe": Bare((self.attention.width,), Role.EMBEDDING),
            "attention": self.attention,
            "norm": self.norm,
            "feed_forward": self.feed_forward,
        }

    def operations(self, batch: int, length: int) -> int:
        """Floating-point operations for so many pictures of `length` tokens."""
        looking = self.attention
        one_map = 2 * looking.width * looking.heads * looking.head_width
        maps = 2 * one_map * (1 + length)  # query and output once, key and value per token
        return batch * (maps + looking.operations(length)) + passing(self.feed_forward, batch)


Summary: TypeAlias = Reading | AttentionPooling


@dataclass(frozen=True)
class Sight:
    """A tower and what makes one vector of a picture: a summary, and a projection of it."""

    tower: VisionEncoder
    summary: Summary | None
    projection: Linear | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {"tower": self.tower, "summary": self.summary, "projection": self.projection}

    @property
    def vector(self) -> int:
        """How many numbers the vector of a picture has."""
        if self.projection is not None:
            return self.projection.outputs
        both = isinstance(self.summary, Reading) and self.summary.of == "both"
        return 2 * self.tower.width if both else self.tower.width

    def stage(self, batch: int, height: int, width: int) -> Stage:
        """Return the work of looking at so many pictures of one size."""
        tower = self.tower
        length = tower.length(height, width)
        operations = tower.operations(batch, height, width)
        if self.summary is not None:
            operations += self.summary.operations(batch, length)
        if self.projection is not None:
            operations += passing(self.projection, batch)
        pixels = batch * tower.embedding.channels * height * width
        live = pixels + tower.live(batch, height, width)
        kept = batch * (length * tower.width + self.vector)
        return Stage("vision", self, operations, live=live, kept=kept, rows=batch * length)


@dataclass(frozen=True)
class PictureEncoder:
    """A model that sees and says what it saw: vectors of pictures, and labels under a head.

    `labels` are the publisher's names in order; `kind` says how their scores are meant.
    """

    sight: Sight
    labels: tuple[str, ...] = ()
    kind: Labelling = "one"

    def parts(self) -> Mapping[str, Part | None]:
        return {"sight": self.sight, "head": self.head}

    @property
    def head(self) -> Linear | None:
        """The map from a vector to scores of labels, where there are labels."""
        labels = len(self.labels)
        return Linear(self.sight.vector, labels, Role.HEAD, bias=True) if labels else None

    @property
    def about(self) -> About:
        labelled = f", under a head that scores {len(self.labels):,} labels" if self.labels else ""
        return About(
            "LVM",
            f"a tower that reads the patches of a picture{labelled}",
            ("picture",),
            (*(("labels",) if self.labels else ()), "features"),
            (*(("classify",) if self.labels else ()), "features", "compare"),
        )

    @property
    def usual(self) -> Work:
        height, width = self.sight.tower.picture
        return Work(height=height, width=width)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """One: looking."""
        height, width = _size(work, self.sight)
        stage = self.sight.stage(work.batch, height, width)
        scoring = 0 if self.head is None else passing(self.head, work.batch)
        return (replace(stage, part=self, operations=stage.operations + scoring),)


@dataclass(frozen=True)
class TextTower:
    """A tower that reads: the vector of a text is projected from the state of its last token.

    A text has at most `context` tokens; a shorter one is filled up with the token `filler`, where
    the tower was trained so, and its last token is then that of the context.
    """

    context: int
    embedding: Embedding
    layers: tuple[Layer, ...]
    norm: Norm
    projection: Linear
    filler: int | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "embedding": self.embedding,
            "layers": self.layers,
            "norm": self.norm,
            "projection": self.projection,
        }

    def stage(self, batch: int, tokens: int) -> Stage:
        """Return the work of reading so many texts of one length."""
        width = self.embedding.width
        operations = layers_operations(self.layers, batch, tokens)
        operations += passing(self.projection, batch)
        rows = batch * tokens
        live = max(3 * rows * width, layers_live(self.layers, rows))
        kept = batch * self.projection.outputs
        return Stage("text", self, operations, live=live, kept=kept, rows=rows)


@dataclass(frozen=True)
class PictureText:
    """Two towers whose vectors can be compared: of pictures, and of texts about them.

    How well they fit is the cosine of both, times the exponential of a learned scale. Among texts
    one fits (Radford et al., 2021, arXiv 2103.00020); with a learned offset each text fits or not
    by itself (Zhai et al., 2023, arXiv 2303.15343).
    """

    vision: Sight
    text: TextTower
    offset: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "vision": self.vision,
            "text": self.text,
            "scale": Bare((1,), Role.NORM),
            "offset": Bare((1,), Role.NORM) if self.offset else None,
        }

    @property
    def about(self) -> About:
        return About(
            "LVM",
            "a tower that sees and one that reads, whose vectors can be compared",
            ("picture", "text"),
            ("labels", "features"),
            ("classify", "features", "compare"),
        )

    @property
    def context(self) -> int:
        return self.text.context

    @property
    def vocabulary(self) -> int:
        return self.text.embedding.vocabulary

    @property
    def kind(self) -> Labelling:
        """How scores of texts are meant: one of them fits, or each does or does not."""
        return "several" if self.offset else "one"

    @property
    def usual(self) -> Work:
        height, width = self.vision.tower.picture
        return Work(height=height, width=width, tokens=self.text.context)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Two: looking at `batch` pictures, and reading as many texts."""
        height, width = _size(work, self.vision)
        tokens = self.text.context if work.tokens is None else work.tokens
        vision = self.vision.stage(work.batch, height, width)
        return vision, self.text.stage(work.batch, tokens)


def _size(work: Work, sight: Sight) -> tuple[int, int]:
    """Return the (height, width) of the pictures of some work."""
    height, width = sight.tower.picture
    return work.height or height, work.width or width
