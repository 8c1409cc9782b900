"""A layer of an encoder in one native call: tokens that all come at once, whose maps are packed.

A plan (`programs.layer_plan`) with its weights is a `WholeLayer`; what it does is drawn in
`ops/kernels/whole_layer.hpp`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from fathom.ops.matrices import PackedMatrix, pack
from fathom.ops.native import native
from fathom.programs.layer_plan import Joint, LayerPlan, Map, Norm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Integers: TypeAlias = NDArray[np.int32]

Read: TypeAlias = Callable[[str], Tensor]  # a weight by its name
ENCODINGS = {torch.float32: "F32", torch.bfloat16: "BF16"}


@dataclass(frozen=True)
class Groups:
    """Who sees whom: tokens of a group one another.

    `members` are numbers of tokens, those of a group one after the other from `begins` on; -1 is
    one that is not there and is seen all the same: what zeros become on their way into the heads.
    `added`, (some, heads, length, length), joins the scores of groups, which take it in turn.
    """

    members: Integers
    begins: Integers
    added: Floats | None = None


class WholeLayer:
    """A plan with its weights, packed."""

    def __init__(self, plan: LayerPlan, read: Read) -> None:
        """Pack a layer's weights, which `read` gives by name.

        Raises:
            ValueError: where there are no native kernels, or of a type that none multiplies.
        """
        module = native()
        if isinstance(module, str):
            raise ValueError(module)
        self.plan = plan
        self._packed: list[PackedMatrix] = []
        self._layer: Any = module.WholeLayer(
            plan.width, plan.heads, plan.head_width, plan.scale, plan.causal
        )
        self._layer.attend(
            self._map(plan.into, read),
            self._map(plan.output, read),
            *_joint(plan.mixing, plan.width, read),
            self._distances(read),
        )
        self._layer.feed(
            self._map(plan.up, read),
            self._map(plan.down, read),
            *_joint(plan.feeding, plan.width, read),
            plan.activation,
            plan.gated,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of packed maps."""
        return sum(matrix.nbytes for matrix in self._packed)

    def run(self, x: Tensor, groups: Groups) -> Tensor:
        """Return states (tokens, width) of x (tokens, width), in its type: float32 or bfloat16."""
        source, target = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
        self._layer.run(
            _numbers(source),
            _numbers(target),
            groups.members,
            groups.begins,
            groups.added,
            torch.get_num_threads(),
        )
        return target

    def _map(self, described: Map, read: Read) -> tuple[PackedMatrix, Floats | None]:
        weights = [read(weight) for weight, _ in described.factors]
        named = [bias for _, bias in described.factors]
        bias = None
        if any(named):
            each = zip(weights, named, strict=True)
            bias = torch.cat([_bias(read, one, len(weight)) for weight, one in each]).numpy()
        return self._pack(weights), bias

    def _distances(self, read: Read) -> tuple[PackedMatrix, PackedMatrix, int, int] | None:
        if self.plan.distances is None or self.plan.grid is None:
            return None
        rows, columns = (self._pack([read(name).flip(0)]) for name in self.plan.distances)
        return rows, columns, *self.plan.grid

    def _pack(self, weights: Sequence[Tensor]) -> PackedMatrix:
        stored = [weight.contiguous().view(torch.uint8).reshape(-1) for weight in weights]
        packed = pack(ENCODINGS[weights[0].dtype], weights[0].shape[1], stored)
        self._packed.append(packed)
        return packed


def _bias(read: Read, name: str | None, rows: int) -> Tensor:
    return torch.zeros(rows) if name is None else read(name).float()


def _vector(read: Read, name: str | None) -> Floats | None:
    return None if name is None else read(name).float().contiguous().numpy()


def _norm(norm: Norm | None, read: Read) -> tuple[object, ...] | None:
    if norm is None:
        return None
    return norm.centred, norm.epsilon, _vector(read, norm.weight), _vector(read, norm.bias)


def _joint(joint: Joint, width: int, read: Read) -> tuple[object, Floats | None]:
    """Return both norms of a joint, and the scales of each channel, its gate among them."""
    scales = None if joint.scales is None else read(joint.scales).float()
    if joint.gate is not None:
        gate = read(joint.gate).float().tanh()
        scales = gate.expand(width) if scales is None else scales * gate
    given = None if scales is None else scales.contiguous().numpy()
    return (_norm(joint.before, read), _norm(joint.closing, read)), given


def _numbers(x: Tensor) -> object:
    """Return a tensor's own memory as an array; bfloat16 as its bits."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()
