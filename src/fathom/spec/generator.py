"""A generator that was trained against a judge: a random vector becomes a picture in one pass.

Karras et al., 2020 (arXiv 1912.04958). A mapping turns the vector into a style; the style scales
what each convolution takes in, from four rows and columns up to the whole picture, and noise that
is kept with the weights, or drawn anew, stands for what is left to chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import ClassVar

from fathom.spec.parts import Bare, Convolution, Linear, Part, convolution
from fathom.spec.roles import Role
from fathom.spec.work import About, Stage, Work, passing

# Numbers read and written for each: of a kernel under a style, of what a convolution draws, and
# of what is filtered.
WEIGHED, DRAWN, FILTERED = 11, 3, 2
FIRST = 4  # rows and columns of what is learned, where a picture begins


@dataclass(frozen=True)
class StyleMapping:
    """A vector, its mean square made one, becomes a style by maps with leaky ReLUs.

    Weights and biases of the maps are multiplied by the `rate` at which they learned. A generator
    of several `kinds` is told one, which joins the vector as `told` numbers. The `average` style
    is kept: nearer to it pictures are more usual (truncation).
    """

    latent: int
    width: int
    depth: int
    rate: float
    inner: int
    kinds: int = 0
    told: int = 0
    average: bool = True

    def parts(self) -> Mapping[str, Part | None]:
        widths = [self.latent + self.told, *[self.inner] * (self.depth - 1), self.width]
        maps = tuple(Linear(a, b, Role.DENSE, bias=True) for a, b in pairwise(widths))
        kinds = Linear(self.kinds, self.told, Role.DENSE, bias=True) if self.kinds else None
        average = Bare((self.width,), Role.NORM) if self.average else None
        return {"kinds": kinds, "maps": maps, "average": average}


@dataclass(frozen=True)
class StyledConvolution:
    """A convolution whose inputs a style scales, and whose outputs are given a variance of one.

    One with `taps` makes twice as many rows and columns: it is transposed, and a filter of so many
    taps follows. Noise (side, side), times a learned strength, is the same for all channels. What
    comes out is multiplied by a `gain` and kept within the `bound`, where there is one.
    """

    inputs: int
    outputs: int
    side: int  # rows and columns that come out
    style: int
    taps: tuple[float, ...] | None
    noise: bool
    bound: float | None = None
    gain: float = 1.0

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "scales": Linear(self.style, self.inputs, Role.DENSE, bias=True),
            "kernel": self.kernel,
            "noise": Bare((self.side, self.side), Role.EMBEDDING) if self.noise else None,
            "strength": Bare((), Role.NORM) if self.noise else None,
        }

    @property
    def kernel(self) -> Convolution:
        """As it lies in memory, whether it is transposed or not."""
        return convolution(self.inputs, self.outputs, 3)

    def operations(self) -> int:
        """Floating-point operations of one picture."""
        scales = 2 * self.inputs * (self.style + self.outputs)
        if self.taps is None:
            return scales + passing(self.kernel, self.side**2)
        filtering = 2 * self.outputs * (len(self.taps) * self.side) ** 2
        return scales + passing(self.kernel, (self.side // 2) ** 2) + filtering

    def moved(self) -> int:
        """Numbers that one picture has read and written here, beside products.

        The kernel is scaled for each picture, squared and added up, scaled again and laid out;
        what comes out is filtered where it is made finer, and gets noise, a bias, an activation.
        """
        kernel = WEIGHED * self.inputs * self.outputs * prod(self.kernel.kernel)
        return kernel + (DRAWN + (FILTERED if self.taps else 0)) * self.outputs * self.side**2


@dataclass(frozen=True)
class StyledColours:
    """What was drawn on one level becomes colours, place by place, under a style."""

    inputs: int
    colours: int
    side: int
    style: int
    bound: float | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "scales": Linear(self.style, self.inputs, Role.DENSE, bias=True),
            "kernel": self.kernel,
        }

    @property
    def kernel(self) -> Convolution:
        """One row and column wide."""
        return convolution(self.inputs, self.colours, 1)

    def operations(self) -> int:
        """Floating-point operations of one picture."""
        return 2 * self.style * self.inputs + passing(self.kernel, self.side**2)


@dataclass(frozen=True)
class DrawingLevel:
    """Two convolutions, the first of which makes it finer; one alone on the first level.

    Where levels are `residual`, what comes in goes around both through a convolution of its own,
    and is made as fine by a filter of so many `taps`. The level may say its colours.
    """

    taps: tuple[float, ...]
    convolutions: tuple[StyledConvolution, ...]
    colours: StyledColours | None
    residual: Convolution | None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "convolutions": self.convolutions,
            "colours": self.colours,
            "residual": self.residual,
        }

    @property
    def side(self) -> int:
        """Rows and columns of the level."""
        return self.convolutions[-1].side

    @property
    def drawn(self) -> int:
        """Channels of the level."""
        return self.convolutions[-1].outputs

    def operations(self, coarser_colours: int) -> int:
        """Floating-point operations of one picture; colours of before are made as fine."""
        total = sum(one.operations() for one in self.convolutions)
        coarse = (self.side // 2) ** 2
        finer = 2 * len(self.taps) ** 2 * coarse  # of a channel
        total += coarser_colours * finer
        if self.residual is not None:
            total += passing(self.residual, coarse) + self.residual.outputs * finer
        return total + (0 if self.colours is None else self.colours.operations())

    def moved(self) -> int:
        """Numbers that one picture has read and written here, beside products."""
        return sum(one.moved() for one in self.convolutions)

    def live(self) -> int:
        """Numbers held at the largest moment of one picture: before and after a convolution."""
        first, plane = self.convolutions[0], self.drawn * self.side**2
        coming = first.inputs * (self.side // 2 if first.taps else self.side) ** 2
        return coming + (2 if self.residual is None else 3) * plane


@dataclass(frozen=True)
class Generator:
    """A style drawn level by level, each twice as fine as the one before.

    Each convolution takes a style of its own, and the last colours one more, so that pictures can
    be mixed. Colours of a level are added to those of the level before, made as fine.
    """

    mapping: StyleMapping
    levels: tuple[DrawingLevel, ...]
    colours: int

    about: ClassVar[About] = About(
        "GAN",
        "a generator without a text and without steps: a vector becomes a picture in one pass",
        ("seed",),
        ("picture",),
        ("imagine", "interpolate"),
    )

    def parts(self) -> Mapping[str, Part | None]:
        start = self.levels[0].convolutions[0].inputs
        return {
            "mapping": self.mapping,
            "start": Bare((start, FIRST, FIRST), Role.EMBEDDING),
            "levels": self.levels,
        }

    @property
    def side(self) -> int:
        """Rows and columns of a picture."""
        return self.levels[-1].side

    @property
    def styles(self) -> int:
        """How many styles a picture takes: one for each convolution, and one for its colours."""
        return sum(len(level.convolutions) for level in self.levels) + 1

    @property
    def usual(self) -> Work:
        return Work(height=self.side, width=self.side, frames=1)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Two, for each of the pictures of a request: mapping a vector, and drawing."""
        passes = work.frames or 1
        mapped = passing(self.mapping, work.batch)
        drawing = before = 0
        for level in self.levels:
            drawing += level.operations(before)
            before = self.colours if level.colours is not None else before
        picture = self.colours * self.side**2
        widest = max(level.live() for level in self.levels)
        return (
            Stage(
                "mapping",
                self.mapping,
                mapped,
                passes,
                live=3 * work.batch * self.mapping.inner,
                rows=work.batch,
            ),
            Stage(
                "drawing",
                self.levels,
                work.batch * drawing,
                passes,
                live=work.batch * (widest + picture),
                kept=work.batch * picture,
                moved=work.batch * sum(level.moved() for level in self.levels),
            ),
        )
