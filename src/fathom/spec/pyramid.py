"""Parts of networks of planes that halve their resolution, work, and double it again.

A plane is (batch, channels, height, width). What a part costs depends on how large its planes
are, so each part adds itself to a `Tally` that goes the way of the planes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from fathom.spec.attention import Attention
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Convolution, GroupNorm, Linear, Part, convolution
from fathom.spec.roles import Role
from fathom.spec.work import ADDED, MAPPED, passing


class Tally:
    """Operations added up, and the most numbers held, along the way of a batch of planes.

    What stays alive meanwhile, such as the planes that a later level joins, is `held`.
    """

    def __init__(self, batch: int, height: int, width: int) -> None:
        self.batch = batch
        self.size: tuple[int, ...] = (height, width)
        self.operations = 0
        self.filtered = 0  # of these, such as minimal filtering does with fewer
        self.moved = 0  # numbers read and written beside products
        self.live = 0
        self.held = 0

    @property
    def positions(self) -> int:
        """Positions of all planes of one channel."""
        return self.batch * prod(self.size)

    def convolve(self, part: Convolution) -> None:
        """Pass a convolution: what comes in and what goes out are alive at once."""
        before = self.positions * part.inputs
        self.size = part.size(self.size)
        operations = 2 * part.per_position * self.positions
        self.operations += operations
        self.filtered += operations if part.by_three else 0
        self.moved += before + self.positions * part.outputs
        self.need(before + self.positions * part.outputs)

    def need(self, numbers: int) -> None:
        """Note that so many numbers are alive at once, beside those held."""
        self.live = max(self.live, self.held + numbers)


@dataclass(frozen=True)
class ResidualBlock:
    """Norm, activation, convolution, twice; what came in is added (He et al., 2015).

    Where `time` vectors come in, each gives every channel a shift between the two halves, or a
    `scaled` one a factor and a shift. The sum is divided by `divisor`.
    """

    inputs: int
    outputs: int
    groups: int
    epsilon: float
    activation: Activation = "silu"
    time: int | None = None
    scaled: bool = False
    divisor: float = 1.0

    def parts(self) -> Mapping[str, Part | None]:
        shifts = self.outputs * (2 if self.scaled else 1)
        timed = Linear(self.time, shifts, Role.DENSE, bias=True) if self.time else None
        fits = self.inputs == self.outputs
        return {
            "enter_norm": GroupNorm(self.inputs, self.groups, self.epsilon),
            "enter": convolution(self.inputs, self.outputs),
            "time": timed,
            "leave_norm": GroupNorm(self.outputs, self.groups, self.epsilon),
            "leave": convolution(self.outputs, self.outputs),
            "shortcut": None if fits else convolution(self.inputs, self.outputs, 1),
        }

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        came, leaving = tally.positions * self.inputs, tally.positions * self.outputs
        tally.need(3 * came)  # with it, its norm and the activation of that
        tally.moved += came + leaving + ADDED * leaving  # a norm and its activation are one pass
        tally.held += came
        tally.convolve(convolution(self.inputs, self.outputs))
        tally.convolve(convolution(self.outputs, self.outputs))
        fits = self.inputs == self.outputs
        if not fits:
            shortcut = convolution(self.inputs, self.outputs, 1)
            tally.operations += 2 * shortcut.per_position * tally.positions
        tally.need((2 if fits else 3) * leaving)  # both summands, where one is new, and the sum
        tally.held -= came
        if self.time:
            shifts = self.outputs * (2 if self.scaled else 1)
            tally.operations += 2 * tally.batch * self.time * shifts
            tally.moved += ADDED * leaving


@dataclass(frozen=True)
class Halving:
    """A convolution of stride two. An `uneven` one pads only the last row and column."""

    channels: int
    outputs: int
    uneven: bool = False

    @property
    def _convolution(self) -> Convolution:
        padding = 0 if self.uneven else 1
        return convolution(self.channels, self.outputs, stride=2, padding=padding)

    def parts(self) -> Mapping[str, Part | None]:
        return {"convolution": self._convolution}

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        if self.uneven:
            tally.size = tuple(each + 1 for each in tally.size)
        tally.convolve(self._convolution)


@dataclass(frozen=True)
class Doubling:
    """Every position becomes four alike, and a convolution follows."""

    channels: int
    outputs: int
    bias: bool = True
    factor: int = 2

    def parts(self) -> Mapping[str, Part | None]:
        return {"convolution": convolution(self.channels, self.outputs, bias=self.bias)}

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        came = tally.positions * self.channels
        tally.size = tuple(each * self.factor for each in tally.size)
        tally.need(came + tally.positions * self.channels)
        tally.moved += came + tally.positions * self.channels
        tally.convolve(convolution(self.channels, self.outputs))


@dataclass(frozen=True)
class PlaneAttention:
    """Every position sees every other; what came in is added."""

    norm: GroupNorm
    attention: Attention

    def parts(self) -> Mapping[str, Part | None]:
        return {"norm": self.norm, "attention": self.attention}

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        rows, seen = tally.positions, prod(tally.size)
        tally.operations += passing(self.attention, rows)
        tally.operations += rows * self.attention.operations(seen)
        tally.need(6 * rows * self.attention.width)  # the stream, its norm, q, k, v, the mixture
        tally.moved += (4 * MAPPED + ADDED) * rows * self.attention.width


@dataclass(frozen=True)
class Middle:
    """The lowest resolution: a block, attention where there is some, another block."""

    first: ResidualBlock
    attention: PlaneAttention | None
    second: ResidualBlock

    def parts(self) -> Mapping[str, Part | None]:
        return {"first": self.first, "attention": self.attention, "second": self.second}

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        self.first.pass_through(tally)
        if self.attention is not None:
            self.attention.pass_through(tally)
        self.second.pass_through(tally)


@dataclass(frozen=True)
class Level:
    """Blocks of one resolution, then the way to the next."""

    blocks: tuple[ResidualBlock, ...]
    change: Halving | Doubling | None

    def parts(self) -> Mapping[str, Part | None]:
        return {"blocks": self.blocks, "change": self.change}

    def pass_through(self, tally: Tally) -> None:
        """Add what a plane costs here."""
        came = tally.positions * self.blocks[0].inputs if self.blocks else 0
        for index, block in enumerate(self.blocks):
            tally.held += came if index == 1 else 0  # who called still holds what came in
            block.pass_through(tally)
        if self.change is not None:
            self.change.pass_through(tally)
        tally.held -= came if len(self.blocks) > 1 else 0
