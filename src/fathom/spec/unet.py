"""A denoiser of planes: down to a low resolution and up again, each level joined to its twin.

Ronneberger et al., 2015; with a text that every level looks at, Rombach et al., 2021 (arXiv
2112.10752). A net that steers one by a picture is of the same parts: Zhang et al., 2023 (arXiv
2302.05543).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from fathom.spec.encoder_decoder import CrossLayer
from fathom.spec.experts import Experts
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Convolution, GroupNorm, Linear, Part, convolution
from fathom.spec.pyramid import Doubling, Halving, ResidualBlock, Tally
from fathom.spec.roles import Role
from fathom.spec.work import ADDED, MAPPED, About, Stage, Work, passing

HINT = (16, 32, 96, 256)  # channels through which a picture becomes planes that steer


@dataclass(frozen=True)
class Waves:
    """Fixed waves that tell a moment, or a size: cosines before sines unless `sines_first`.

    The longest is 10,000 times as long as the shortest; `shift` counts so many waves less.
    """

    width: int
    sines_first: bool = False
    shift: float = 0.0


@dataclass(frozen=True)
class VectorMlp:
    """A vector that is told to all positions: two maps, an activation between.

    A `condition` is added to what comes in, such as the guidance that a student was taught.
    """

    inputs: int
    width: int
    activation: Activation = "silu"
    condition: int | None = None

    def parts(self) -> Mapping[str, Part | None]:
        condition = self.condition
        return {
            "condition": Linear(condition, self.inputs, Role.DENSE) if condition else None,
            "up": Linear(self.inputs, self.width, Role.INTO_INNER, bias=True),
            "down": Linear(self.width, self.width, Role.OUT_OF_INNER, bias=True),
        }


@dataclass(frozen=True)
class Told:
    """What a denoiser is told beside moment and text: a text's vector, and sizes as waves.

    Sizes and a crop (Podell et al., 2023, arXiv 2307.01952): `vector` numbers and `sizes` waves.
    """

    vector: int
    sizes: int
    waves: Waves
    embedding: VectorMlp

    def parts(self) -> Mapping[str, Part | None]:
        return {"embedding": self.embedding}


@dataclass(frozen=True)
class SpatialTransformer:
    """Layers in which positions see one another and a text; what came in is added.

    The maps before and after are of each position by itself: convolutions of one position in
    older models, and `linear` maps in newer ones, which differ in the shape of their weights.
    """

    channels: int
    groups: int
    layers: tuple[CrossLayer, ...]
    linear: bool = False

    def parts(self) -> Mapping[str, Part | None]:
        width, inner = self.channels, self.layers[0].mixer.width
        enter: Part = convolution(width, inner, 1)
        leave: Part = convolution(inner, width, 1)
        if self.linear:
            enter = Linear(width, inner, Role.DENSE, bias=True)
            leave = Linear(inner, width, Role.DENSE, bias=True)
        return {
            "norm": GroupNorm(width, self.groups, 1e-6),
            "enter": enter,
            "layers": self.layers,
            "leave": leave,
        }

    def pass_through(self, tally: Tally, tokens: int) -> None:
        """Add what a plane costs here, beside a text of so many tokens."""
        rows, width = tally.positions, self.channels
        tally.operations += 4 * rows * width * self.layers[0].mixer.width
        tally.held += rows * width
        for layer in self.layers:
            read, inner = tally.batch * tokens, layer.mixer.width
            keys = layer.cross.heads * layer.cross.head_width * (layer.cross.source_width or inner)
            tally.operations += passing(layer, rows) + 4 * keys * (read - rows)  # of the text
            tally.operations += rows * layer.mixer.operations(prod(tally.size))
            tally.operations += rows * layer.cross.operations(tokens)
            fed = layer.feed_forward
            widest = 0 if isinstance(fed, Experts) else 3 * fed.inner
            tally.need(rows * max(5 * inner, 2 * inner + widest))
            tally.moved += rows * ((5 * MAPPED + 3 * ADDED) * inner + 2 * widest)
        tally.moved += (3 * MAPPED + ADDED) * rows * width
        tally.held -= rows * width


@dataclass(frozen=True)
class UnetLevel:
    """Blocks of one resolution, each with a look at the text where there is one, then a change."""

    blocks: tuple[ResidualBlock, ...]
    transformers: tuple[SpatialTransformer, ...]
    change: Halving | Doubling | None

    def parts(self) -> Mapping[str, Part | None]:
        return {"blocks": self.blocks, "transformers": self.transformers, "change": self.change}


@dataclass(frozen=True)
class UnetMiddle:
    """The lowest resolution: a block, a look at the text, another block."""

    first: ResidualBlock
    transformer: SpatialTransformer | None
    second: ResidualBlock

    def parts(self) -> Mapping[str, Part | None]:
        return {"first": self.first, "transformer": self.transformer, "second": self.second}

    def pass_through(self, tally: Tally, tokens: int) -> None:
        """Add what a plane costs here."""
        self.first.pass_through(tally)
        if self.transformer is not None:
            self.transformer.pass_through(tally, tokens)
        self.second.pass_through(tally)


@dataclass(frozen=True)
class Descent:
    """From planes to the lowest resolution; what every level leaves is kept for its twin."""

    waves: Waves
    time: VectorMlp
    told: Told | None
    enter: Convolution
    levels: tuple[UnetLevel, ...]
    middle: UnetMiddle

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "time": self.time,
            "told": self.told,
            "enter": self.enter,
            "levels": self.levels,
            "middle": self.middle,
        }

    @property
    def left(self) -> tuple[int, ...]:
        """Channels of what is left on the way down, in order."""
        found = [self.enter.outputs]
        for level in self.levels:
            found += [block.outputs for block in level.blocks]
            found += [level.change.outputs] if level.change is not None else []
        return tuple(found)

    def pass_through(self, tally: Tally, tokens: int) -> list[tuple[int, ...]]:
        """Add what a plane costs here; return the sizes of what is left, which stays held."""
        told = () if self.told is None else self.told.embedding
        tally.operations += passing((self.time, told), tally.batch)
        tally.convolve(self.enter)
        tally.held += tally.positions * self.enter.outputs
        sizes = [tally.size]
        for level in self.levels:
            for index, block in enumerate(level.blocks):
                block.pass_through(tally)
                if level.transformers:
                    level.transformers[index].pass_through(tally, tokens)
                tally.held += tally.positions * block.outputs
                sizes.append(tally.size)
            if level.change is not None:
                level.change.pass_through(tally)
                tally.held += tally.positions * level.change.outputs
                sizes.append(tally.size)
        self.middle.pass_through(tally, tokens)
        return sizes


@dataclass(frozen=True)
class Unet:
    """A denoiser: planes of noise and picture, a moment and a text in, a prediction out.

    `size` is the side of the planes that it was made for, `tokens` the length of its texts.
    A `centred` one moves numbers from [0, 1] to [-1, 1] first.
    """

    descent: Descent
    levels: tuple[UnetLevel, ...]
    norm: GroupNorm
    leave: Convolution
    text_width: int
    size: int = 64
    tokens: int = 77
    centred: bool = False
    activation: Activation = "silu"

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "descent": self.descent,
            "levels": self.levels,
            "norm": self.norm,
            "leave": self.leave,
        }

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def channels(self) -> int:
        """Channels of what comes in: of latents, and of what lies beside them."""
        return self.descent.enter.inputs

    @property
    def factor(self) -> int:
        """How much smaller the lowest resolution is."""
        return int(2 ** sum(level.change is not None for level in self.levels))

    @property
    def about(self) -> About:
        return About(
            "denoiser",
            "planes with noise, a moment and a text in, what is noise in them out",
            ("latents", "text states"),
            ("latents",),
            ("denoise",),
        )

    @property
    def usual(self) -> Work:
        return Work(height=self.size, width=self.size, tokens=self.tokens, steps=1)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        return (self.denoising(work),)

    def denoising(self, work: Work) -> Stage:
        """Return the stage of all steps; height and width are those of the planes."""
        height, width = work.height or self.size, work.width or self.size
        tokens = work.tokens or self.tokens
        sides = 2 if work.guided else 1
        tally = Tally(work.batch * sides, height, width)
        sizes = self.descent.pass_through(tally, tokens)
        left = list(zip(self.descent.left, sizes, strict=True))
        for level in self.levels:
            came = tally.positions * (level.blocks[0].inputs - left[-1][0])
            tally.held += came  # by whoever handed it on
            for index, block in enumerate(level.blocks):
                channels, size = left.pop()
                tally.moved += MAPPED * tally.positions * block.inputs
                block.pass_through(tally)
                tally.held -= tally.batch * prod(size) * channels
                if level.transformers:
                    level.transformers[index].pass_through(tally, tokens)
            if level.change is not None:
                level.change.pass_through(tally)
            tally.held -= came
        tally.need(2 * tally.positions * self.norm.channels)
        tally.convolve(self.leave)
        kept = tally.batch * height * width * self.leave.outputs
        return Stage(
            "denoiser",
            self,
            tally.operations,
            passes=work.steps or 1,
            live=tally.live,
            kept=kept,
            filtered=tally.filtered,
            moved=tally.moved + 2 * MAPPED * height * width * tally.batch * self.norm.channels,
        )


@dataclass(frozen=True)
class Hint:
    """A picture becomes planes of the size of latents, which are added to those that come in."""

    channels: int
    outputs: int
    widths: tuple[int, ...] = HINT

    def parts(self) -> Mapping[str, Part | None]:
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        return {
            "enter": convolution(self.channels, self.widths[0]),
            "blocks": tuple(
                part
                for before, after in pairs
                for part in (
                    convolution(before, before),
                    convolution(before, after, stride=2),
                )
            ),
            "leave": convolution(self.widths[-1], self.outputs),
        }


@dataclass(frozen=True)
class ControlNet:
    """A descent that a picture steers: what it leaves at each level is added to a denoiser's."""

    descent: Descent
    hint: Hint
    text_width: int
    size: int = 64
    tokens: int = 77
    bgr: bool = False  # the picture's colours come as blue, green, red

    def parts(self) -> Mapping[str, Part | None]:
        lowest = self.descent.middle.second.outputs
        return {
            "descent": self.descent,
            "hint": self.hint,
            "left": tuple(convolution(each, each, 1) for each in self.descent.left),
            "lowest": convolution(lowest, lowest, 1),
        }

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def about(self) -> About:
        return About(
            "denoiser's guide",
            "a picture that steers, planes with noise, a moment and a text in, planes to add out",
            ("picture", "latents", "text states"),
            ("latents",),
            ("denoise",),
        )

    @property
    def usual(self) -> Work:
        return Work(height=self.size, width=self.size, tokens=self.tokens, steps=1)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        height, width = work.height or self.size, work.width or self.size
        tally = Tally(work.batch * (2 if work.guided else 1), height, width)
        picture = Tally(tally.batch, 8 * height, 8 * width)
        for part in (self.hint.parts()["enter"], *self._hint_blocks(), self.hint.parts()["leave"]):
            if isinstance(part, Convolution):
                picture.convolve(part)
        sizes = self.descent.pass_through(tally, work.tokens or self.tokens)
        for channels, size in zip(self.descent.left, sizes, strict=True):
            tally.operations += 2 * tally.batch * prod(size) * channels**2
        tally.operations += 2 * tally.positions * self.descent.middle.second.outputs**2
        live = max(tally.live, picture.live)
        operations = tally.operations + picture.operations
        return (
            Stage(
                "guide",
                self,
                operations,
                passes=work.steps or 1,
                live=live,
                filtered=tally.filtered + picture.filtered,
                moved=tally.moved + 2 * picture.moved,  # each of the picture's planes is activated
            ),
        )

    def _hint_blocks(self) -> tuple[Part, ...]:
        blocks = self.hint.parts()["blocks"]
        return tuple(blocks) if isinstance(blocks, tuple) else ()
