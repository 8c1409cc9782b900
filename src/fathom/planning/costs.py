"""What a token costs in a part of a model: weights read, operations, state kept.

The one home of these numbers. The forecast of speed, the plan of memory and the explanation
ask here, so what is explained is what is planned with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol, TypeAlias, runtime_checkable

from fathom.spec.decoder import Embedding, Layer, Output
from fathom.spec.parts import (
    Leaf,
    Linear,
    Parameter,
    Part,
    Table,
    active,
    children,
    count,
    leaves,
)
from fathom.spec.roles import EXACT, Role
from fathom.spec.state import StateArray

BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
EXACT_BYTES = 4

# Bytes that one number of a parameter takes where it lies; a fraction for quantised blocks.
Storage: TypeAlias = Callable[[Parameter], float]


@runtime_checkable
class Mixing(Protocol):
    """What lets tokens see one another, or a layer around it: it states its own costs."""

    def state(self, context: int) -> tuple[StateArray, ...]:
        """Return what one sequence of `context` tokens leaves behind."""

    def operations(self, context: int) -> int:
        """Return operations per token beside the linear maps, with `context` in reach."""


@dataclass(frozen=True)
class Cost:
    """What one token costs in a part, and what its sequence keeps there.

    `state_bytes` are kept by a sequence at the context that was asked about, and read by its
    next token; `state_bytes_per_token` are those that each token adds, as long as it may.
    """

    parameters: int = 0
    active: int = 0  # parameters that the token passes
    weight_bytes: int = 0  # read for the token
    operations: int = 0  # floating-point: a multiplication and an addition are two
    state_bytes: int = 0
    state_bytes_per_token: int = 0


def total(costs: Iterable[Cost]) -> Cost:
    """Return the cost of several parts together."""
    listed = list(costs)
    return Cost(
        sum(cost.parameters for cost in listed),
        sum(cost.active for cost in listed),
        sum(cost.weight_bytes for cost in listed),
        sum(cost.operations for cost in listed),
        sum(cost.state_bytes for cost in listed),
        sum(cost.state_bytes_per_token for cost in listed),
    )


def cost(part: Part, storage: Storage, *, dtype: str, context: int, path: str = "") -> Cost:
    """Return what a token costs in a part, with `context` tokens of its sequence before it.

    `storage` says how weights lie in memory, `dtype` is that of the state. `path` is the part's
    place in the spec, by which `storage` knows its parameters.
    """
    return Cost(
        parameters=count(part),
        active=active(part),
        weight_bytes=round(weight_bytes_read(part, storage, path)),
        operations=map_operations(part) + mixing_operations(part, context),
        state_bytes=state_bytes(part, dtype, context),
        state_bytes_per_token=state_bytes(part, dtype, 2) - state_bytes(part, dtype, 1),
    )


def computed_in(dtype: str) -> Storage:
    """Return how parameters lie in memory to compute in `dtype`: exact roles stay in float32."""
    return lambda parameter: EXACT_BYTES if parameter.role in EXACT else BYTES[dtype]


def weight_bytes(part: Part, storage: Storage, path: str = "") -> int:
    """Return the bytes of all parameters of a part, whose place in the spec is `path`."""
    held = (one for place, leaf in leaves(part, path) for one in _held(place, leaf))
    return round(sum(one.elements * storage(one) for one in held))


def weight_bytes_read(part: Part, storage: Storage, path: str = "") -> float:
    """Return the bytes of parameters that one token reads.

    Of stacked experts the chosen ones, of an embedding one row. A tied output reads the whole
    table that another part holds, a shared embedding a row of one, as it is stored there.
    """
    own = sum(
        held.elements * storage(held) * _share_read(leaf)
        for place, leaf in leaves(part, path)
        for held in _held(place, leaf)
    )
    shared = sum(_table_bytes(1, one.width, storage) for one in _shared_embeddings(part))
    shapes = map(_table_shape, tied_outputs(part))
    return own + shared + sum(_table_bytes(rows, width, storage) for rows, width in shapes)


def active_by_role(part: Part) -> Mapping[Role, int]:
    """Return how many numbers of each role one token passes."""
    passed: Counter[Role] = Counter()
    for _, leaf in leaves(part):
        passed[leaf.role] += active(leaf)
    return passed


def _held(place: str, leaf: Leaf) -> Iterator[Parameter]:
    for name, shape in leaf.tensors().items():
        yield Parameter(".".join(filter(None, (place, name))), shape, leaf.role)


def _share_read(leaf: Leaf) -> float:
    """Return the part of a leaf that one token reads."""
    if isinstance(leaf, Linear):
        return leaf.passed / (leaf.stack or 1)
    if isinstance(leaf, Table) and leaf.role is Role.EMBEDDING:
        return 1 / leaf.rows
    return 1.0


TIED_TABLE = "embedding.tokens.weight"  # what `storage` is asked for a tied output's table


def _table_bytes(rows: int, width: int, storage: Storage) -> float:
    """Return the bytes of rows of a table that another part holds."""
    table = Parameter(TIED_TABLE, (rows, width), Role.EMBEDDING)
    return table.elements * storage(table)


def _shared_embeddings(part: Part) -> Iterator[Embedding]:
    if isinstance(part, Embedding) and part.shared:
        yield part
    for _, child in children(part):
        yield from _shared_embeddings(child)


def _table_shape(output: Output) -> tuple[int, int]:
    return output.vocabulary, output.table_width or output.width


def tied_outputs(part: Part) -> Iterator[Output]:
    """Yield the outputs inside a part that read an embedding's table."""
    if isinstance(part, Output):
        if part.tied:
            yield part
        return
    if isinstance(part, Layer):
        return  # nothing in a layer scores words, and there may be a hundred layers
    for _, child in children(part):
        yield from tied_outputs(child)


def matrices(part: Part) -> Iterator[int]:
    """Yield the size, in numbers, of each matrix that one token is multiplied with.

    Of stacked experts each chosen one; a stack with a map per head is one matrix, and a tied
    output is a matrix like any other.
    """
    for _, leaf in leaves(part):
        if isinstance(leaf, Linear):
            chosen, together = (1, leaf.passed) if leaf.active is None else (leaf.active, 1)
            yield from [leaf.inputs * leaf.outputs * together] * chosen
    yield from (prod(_table_shape(output)) for output in tied_outputs(part))


def map_operations(part: Part) -> int:
    """Return the operations per token of all linear maps: two per number passed."""
    return 2 * sum(matrices(part))


def mixing_operations(part: Part, context: int) -> int:
    """Return the operations per token beside the linear maps, with `context` in reach."""
    if isinstance(part, Mixing):
        return part.operations(context)
    return sum(mixing_operations(child, context) for _, child in children(part))


def state_arrays(part: Part, context: int) -> Iterator[StateArray]:
    """Yield what one sequence of `context` tokens leaves behind in a part."""
    if isinstance(part, Mixing):
        yield from part.state(context)
        return
    for _, child in children(part):
        yield from state_arrays(child, context)


def state_bytes(part: Part, dtype: str, context: int) -> int:
    """Return the bytes that one sequence of `context` tokens keeps between steps."""
    return sum(
        array.elements * (EXACT_BYTES if array.exact else BYTES[dtype])
        for array in state_arrays(part, context)
    )
