"""The bricks of every spec: linear maps, convolutions, norms, tables, bare tensors; how they nest.

A *part* is a frozen value that names its own sub-parts. From that one statement come the
module that computes, the list of parameters that a checkpoint must fill, the memory plan and
the explanation, so they cannot disagree. A parameter's name is its path in the spec:
``layers.3.mixer.query.weight`` is the weight of ``spec.layers[3].mixer.query``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from fathom.spec.roles import Role


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor that a checkpoint must fill."""

    name: str
    shape: tuple[int, ...]
    role: Role

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Linear:
    """``x @ weight.T + bias``. With `stack`, that many maps of one shape, one per expert or head.

    A token passes all maps of a stack, or the `active` ones that are chosen for it.
    """

    inputs: int
    outputs: int
    role: Role
    bias: bool = False
    stack: int | None = None
    active: int | None = None

    @property
    def passed(self) -> int:
        """Maps that one token passes."""
        return self.active or self.stack or 1

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        lead = () if self.stack is None else (self.stack,)
        shapes: dict[str, tuple[int, ...]] = {"weight": (*lead, self.outputs, self.inputs)}
        if self.bias:
            shapes["bias"] = (*lead, self.outputs)
        return shapes


@dataclass(frozen=True)
class Norm:
    """Root-mean-square norm (Zhang & Sennrich, 2019) or layer norm (Ba et al., 2016).

    Either may take its mean over each of `groups` equal parts by itself.
    """

    width: int
    epsilon: float
    kind: Literal["rms", "layer"] = "rms"
    weight: bool = True
    bias: bool = False
    role: Role = Role.NORM
    groups: int = 1

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.width,)} if self.weight else {}
        return shapes | ({"bias": (self.width,)} if self.bias else {})


@dataclass(frozen=True)
class Convolution:
    """A kernel slid over the last one, two or three axes of (batch, inputs, …).

    Its weight is (outputs, inputs // groups, *kernel), or where it is `transposed`, and so makes
    more positions of fewer, (inputs, outputs // groups, *kernel). Each axis has its own stride,
    padding (of zeros, on both sides) and dilation.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    bias: bool = True
    transposed: bool = False
    role: Role = Role.CONVOLUTION

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        first, second = self.outputs, self.inputs
        if self.transposed:
            first, second = second, first
        weight = (first, second // self.groups, *self.kernel)
        return {"weight": weight} | ({"bias": (self.outputs,)} if self.bias else {})

    @property
    def per_position(self) -> int:
        """Multiplications for one position of the output; of the input where it is transposed."""
        return prod(self.kernel) * self.inputs * self.outputs // self.groups

    @property
    def by_three(self) -> bool:
        """Whether every place of a plane sees just itself and its eight neighbours."""
        plain = convolution(self.inputs, self.outputs, bias=self.bias)
        return self == replace(plain, role=self.role)

    def size(self, positions: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many positions come out of so many, axis by axis."""
        axes = zip(positions, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        if self.transposed:
            return tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in axes)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    axes: int = 2,
    stride: int = 1,
    padding: int | None = None,
    bias: bool = True,
    transposed: bool = False,
) -> Convolution:
    """Return a convolution that is alike on all axes; by default its padding keeps their length."""
    return Convolution(
        inputs,
        outputs,
        (kernel,) * axes,
        (stride,) * axes,
        ((kernel - 1) // 2 if padding is None else padding,) * axes,
        (1,) * axes,
        bias=bias,
        transposed=transposed,
    )


@dataclass(frozen=True)
class GroupNorm:
    """A norm of (batch, channels, …) over each group of channels together with all positions.

    Wu & He, 2018. With as many groups as channels it is an instance norm.
    """

    channels: int
    groups: int
    epsilon: float
    role: Role = Role.NORM

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        return {"weight": (self.channels,), "bias": (self.channels,)}


@dataclass(frozen=True)
class Table:
    """Rows to look up: token or position embeddings."""

    rows: int
    width: int
    role: Role = Role.EMBEDDING

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        return {"weight": (self.rows, self.width)}


@dataclass(frozen=True)
class Bare:
    """A tensor that belongs to no linear map, norm or table: attention sinks, decay rates …"""

    shape: tuple[int, ...]
    role: Role

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        return {"": self.shape}


@runtime_checkable
class Compound(Protocol):
    """A part made of parts: names in the order in which a reader should meet them."""

    def parts(self) -> Mapping[str, Part | None]: ...


Leaf: TypeAlias = Linear | Convolution | Norm | GroupNorm | Table | Bare
Part: TypeAlias = "Leaf | Compound | Sequence[Part]"


def children(part: Part) -> Iterator[tuple[str, Part]]:
    """Yield the named sub-parts of a part; a sequence names them by number, a leaf has none."""
    if isinstance(part, Leaf):
        return
    if isinstance(part, Sequence):
        yield from ((str(index), child) for index, child in enumerate(part))
        return
    yield from ((name, child) for name, child in part.parts().items() if child is not None)


def walk(part: Part) -> Iterator[Part]:
    """Yield a part and every part below it."""
    yield part
    for _, child in children(part):
        yield from walk(child)


def leaves(part: Part, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield every leaf with its dotted path, in order."""
    if isinstance(part, Leaf):
        yield path, part
        return
    for name, child in children(part):
        yield from leaves(child, f"{path}.{name}" if path else name)


def parameters(part: Part) -> Iterator[Parameter]:
    """Yield every parameter of a part, in order, under the name that its module gives it."""
    for path, leaf in leaves(part):
        for name, shape in leaf.tensors().items():
            yield Parameter(".".join(filter(None, (path, name))), shape, leaf.role)


def count(part: Part) -> int:
    """Return how many numbers a part holds."""
    return sum(parameter.elements for parameter in parameters(part))


def active(part: Part) -> int:
    """Return how many numbers one token passes: of stacked experts, only the chosen ones."""
    total = 0
    for _, leaf in leaves(part):
        held = sum(prod(shape) for shape in leaf.tensors().values())
        if isinstance(leaf, Linear) and leaf.stack:
            held = held // leaf.stack * leaf.passed
        total += held
    return total
