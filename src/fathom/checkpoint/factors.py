"""Naming rules on a low-rank change: the same steps, on its factors instead of the whole tensor.

A change of the publisher's tensor is ``up @ down``. Steps that only move its outputs about, as
where a fused projection is cut into query, key and value, may act on `up` alone, and the parts
share `down`. All other steps need the whole change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fathom.checkpoint.rewriting import forwards
from fathom.dialects.rules import Regroup, Split, Stack, Step, Transpose

if TYPE_CHECKING:
    from torch import Tensor


def inputs_first(steps: Sequence[Step]) -> bool:
    """Tell whether the file stores (inputs, outputs), as GPT-2 does; ours are (outputs, inputs)."""
    return sum(isinstance(step, Transpose) for step in steps) % 2 == 1


def stacks(steps: Sequence[Step]) -> bool:
    """Tell whether several tensors of the file are layers of one of ours, such as experts."""
    return any(isinstance(step, Stack) for step in steps)


def moves_outputs_only(steps: Sequence[Step]) -> bool:
    """Tell whether steps may act on `up` in place of the whole change."""
    outputs = 1 if inputs_first(steps) else 0  # the axis of the outputs, before each step
    for step in steps:
        match step:
            case Transpose():
                outputs = 1 - outputs
            case Split(_, axis) if axis % 2 == outputs:
                continue
            case Regroup() if outputs == 0:
                continue
            case _:
                return False
    return True


def outputs_forwards(steps: Sequence[Step], up: Tensor) -> list[Tensor]:
    """Turn the factor `up` (outputs, rank), or a vector (outputs,), into those of our tensors."""
    turned = inputs_first(steps) and up.ndim == 2
    return forwards(steps, [up.T if turned else up])
