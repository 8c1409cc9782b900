"""Bricks with a low-rank change on them (LoRA, Hu et al., 2021, arXiv 2106.09685).

They stand where the plain brick stood; whoever holds one need not know. `weight` is what the
plain brick would hold after the change, worked out anew at every use, for the few who read it.

With a `magnitude` each output has this length, whatever the base and the change make of it
(DoRA, Liu et al., 2024, arXiv 2402.09353). As neither moves, `gain` says once by how much.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Linear, Table


class _Adapted(nn.Module):
    """A base and the factors of its change, in the type of its weight."""

    base: Linear | Table
    down: Tensor
    up: Tensor
    gain: Tensor | None

    def __init__(
        self, base: Linear | Table, down: Tensor, up: Tensor, magnitude: Tensor | None = None
    ) -> None:
        """Take the change ``up @ down`` of `base`: (outputs, rank) and (rank, inputs)."""
        super().__init__()
        self.base = base
        self.register_buffer("down", down.to(base.weight), persistent=False)
        self.register_buffer("up", up.to(base.weight), persistent=False)
        self.register_buffer("gain", None, persistent=False)
        if magnitude is not None:
            length = self._changed().norm(dim=1)
            self.gain = magnitude.to(length) / length  # (outputs,), float32

    def _changed(self) -> Tensor:
        """Return base plus change as (outputs, inputs), float32."""
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """What the plain brick would hold, in its own shape and type."""
        raise NotImplementedError

    @property
    def bytes(self) -> int:
        """What the change takes beside the base."""
        return sum(buffer.nbytes for buffer in self.buffers())

    def merged(self) -> nn.Module:
        """Return the plain brick with the change in its weight."""
        self.base.weight = nn.Parameter(self.weight, requires_grad=False)
        return self.base


class AdaptedLinear(_Adapted):
    """``gain · (x @ weight.T + (x @ down.T) @ up.T) + bias``, gain being 1 unless given."""

    base: Linear

    @property
    def bias(self) -> Tensor | None:
        """The base's own."""
        return self.base.bias

    @property
    def weight(self) -> Tensor:
        changed = self._changed()
        changed = changed if self.gain is None else changed * self.gain[:, None]
        return changed.to(self.base.weight.dtype)

    def _changed(self) -> Tensor:
        return self.base.weight.float() + self.up.float() @ self.down.float()

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.base.weight.dtype)
        change = functional.linear(functional.linear(x, self.down), self.up)
        if self.gain is None:
            return self.base(x) + change
        whole = functional.linear(x, self.base.weight) + change
        scaled = (whole * self.gain).to(x.dtype)
        return scaled if self.base.bias is None else scaled + self.base.bias


class AdaptedTable(_Adapted):
    """A table whose rows are changed: inputs are rows, outputs the width; `down` (rank, rows)."""

    base: Table

    @property
    def weight(self) -> Tensor:
        changed = self._changed()
        changed = changed if self.gain is None else changed * self.gain[:, None]
        return changed.T.contiguous().to(self.base.weight.dtype)

    def _changed(self) -> Tensor:
        return self.base.weight.float().T + self.up.float() @ self.down.float()

    def forward(self, rows: Tensor) -> Tensor:
        chosen = self.down.T[rows]  # (…, rank)
        changed = self.base(rows) + functional.linear(chosen, self.up)
        return changed if self.gain is None else (changed * self.gain).to(changed.dtype)
