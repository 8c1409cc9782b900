"""What training needs in memory beyond running: gradients, an optimiser's moments, activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from fathom.planning.costs import BYTES, EXACT_BYTES
from fathom.spec.model import TextModel
from fathom.spec.parts import Linear, count, leaves
from fathom.spec.roles import Role

Training: TypeAlias = Literal["full", "lora"]

MOMENTS = 2 * EXACT_BYTES  # Adam keeps a mean and a mean of squares of each number, in float32
RANK = 16  # of the two narrow maps that LoRA puts beside a map (Hu et al., 2021, arXiv 2106.09685)
_ADAPTED = frozenset({Role.INTO_HEADS, Role.OUT_OF_HEADS, Role.INTO_INNER, Role.OUT_OF_INNER})


def training_terms(spec: TextModel, manner: Training, dtype: str, tokens: int) -> Mapping[str, int]:
    """Return bytes by what they are for, of a step over `tokens` in all rows together.

    Full training keeps a master copy of each weight in float32 where the model computes in
    less. Activations are those of every linear map's input and output, without recomputation.
    """
    trained = count(spec) if manner == "full" else sum(_lora(spec, RANK))
    master = trained * EXACT_BYTES if BYTES[dtype] < EXACT_BYTES else 0
    adapter = {"adapter": trained * BYTES[dtype]} if manner == "lora" else {}
    return {
        **adapter,
        "gradients": trained * BYTES[dtype],
        "optimiser": trained * MOMENTS + master,
        "activations kept": tokens * sum(_kept(spec)) * BYTES[dtype],
    }


def _lora(spec: TextModel, rank: int) -> Iterator[int]:
    """Yield the numbers that LoRA adds to each map: rank × (inputs + outputs)."""
    for _, leaf in leaves(spec.layers):
        if isinstance(leaf, Linear) and leaf.role in _ADAPTED:
            yield rank * (leaf.inputs + leaf.outputs) * (leaf.stack or 1)


def _kept(spec: TextModel) -> Iterator[int]:
    """Yield the numbers per token that the backward pass wants again."""
    for _, leaf in leaves(spec.layers):
        if isinstance(leaf, Linear):
            yield (leaf.inputs + leaf.outputs) * leaf.passed
