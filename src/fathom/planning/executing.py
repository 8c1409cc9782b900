"""How a way of running a model touches its weights: what they take in memory, how fast they go.

One home for these numbers, so that a second way (packed weights, kernels of our own) states its
own beside PyTorch's: a class with the methods of `Execution`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from fathom.planning import costs
from fathom.planning.costs import Storage, computed_in
from fathom.planning.probe import Rates
from fathom.spec.parts import Linear, Part, children
from fathom.spec.writing import PIECE

# Numbers of rows that products of a chosen expert meet in a prompt, as `ops/experts.py` pads them:
# four to a doubling, over five doublings, for routers spread tokens far from evenly.
EXPERT_ROWS = 20
MOST_WRITTEN = 8  # numbers of rows up to which each has code of its own
PREPARED_BYTES = 760_000  # of the code that oneDNN keeps for each shape and number of rows
PREPARED_TYPE = "bfloat16"  # whose products oneDNN computes on processors


class Execution(Protocol):
    """One way of running a model's products. Seconds and bytes."""

    def storage(self) -> Storage:
        """Return how parameters lie in memory."""

    def product_seconds(self, inputs: int, outputs: int, rows: float) -> float:
        """Return the time of (rows, inputs) times a matrix (outputs, inputs) no cache holds."""

    def kept_bytes(self, part: Part, context: int, batch: int) -> int:
        """Return what it keeps beside the weights of a part, once `context` tokens were in use."""


@dataclass(frozen=True)
class PyTorch:
    """Weights in one type, each product a call of PyTorch."""

    dtype: str
    rates: Rates | None

    def storage(self) -> Storage:
        return computed_in(self.dtype)

    def product_seconds(self, inputs: int, outputs: int, rows: float) -> float:
        if self.rates is None:
            raise ValueError("without rates there are no seconds")
        return self.rates.product_seconds(self.dtype, inputs, outputs, rows)

    def kept_bytes(self, part: Part, context: int, batch: int) -> int:
        """Return the code that is kept for each shape of a product and each number of its rows.

        Those are of a whole piece of a prompt, of its last piece, and of one more token; of an
        expert any that its padding leaves.
        """
        if self.dtype != PREPARED_TYPE:
            return 0
        each = PREPARED_BYTES
        if self.rates is not None and self.rates.prepared_bytes is not None:
            each = self.rates.prepared_bytes
        usual = 2 if context <= PIECE else 3
        written = min(batch, MOST_WRITTEN)
        of_experts = EXPERT_ROWS + (written if batch > 1 else 0)
        shapes = set(_shapes(part))
        return each * sum(of_experts if chosen else usual for _, _, chosen in shapes)


def _shapes(part: Part) -> Iterator[tuple[int, int, bool]]:
    """Yield inputs, outputs and whether an expert was chosen for it, of each product of a part."""
    if isinstance(part, Linear):
        yield part.inputs, part.outputs, part.active is not None
    for _, child in children(part):
        yield from _shapes(child)
    for output in costs.tied_outputs(part):
        yield output.table_width or output.width, output.vocabulary, False
