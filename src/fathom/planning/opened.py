"""The programs that opening a model makes: its plans, and how each matrix of theirs is packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.description import Description
from fathom.planning.grouping import grouped, packs
from fathom.planning.native_pair import NativePair
from fathom.planning.native_program import Native, Packing
from fathom.planning.packing import DECODED, packed_as, packed_from
from fathom.planning.probe import Rates
from fathom.planning.programs import planned, rounds
from fathom.planning.storing import stored_encoding
from fathom.programs.plan import Plan
from fathom.programs.steps import Matrix
from fathom.spec.model import Layered, Writing
from fathom.spec.parts import parameters


@overload
def native(
    description: Description,
    spec: Layered,
    dtype: str,
    rates: Rates | None,
    quant: str | None = ...,
) -> Native: ...


@overload
def native(
    description: Description,
    spec: Writing,
    dtype: str,
    rates: Rates | None,
    quant: str | None = ...,
) -> NativePair: ...


def native(
    description: Description,
    spec: Layered | Writing,
    dtype: str,
    rates: Rates | None,
    quant: str | None = None,
) -> Native | NativePair:
    """Return a model as the programs that opening it makes; `spec` is the one described.

    Its weights are packed as they are stored, or as `quant` if that is one of `GROUPS`. Under
    another name they are counted as if stored so; of a configuration alone, in `dtype`.

    Raises:
        NoProgramError: when `programs.why_modules` has a reason.
        TensorMismatchError: when file and model do not correspond.
    """
    contents = description.contents
    if contents is not None and (quant is None or packs(description, quant)):
        return packed(spec, dtype, as_in_files(description, contents, spec, quant), rates)
    return packed(spec, dtype, as_named(spec, quant or dtype), rates)


def packed(
    spec: Layered | Writing, dtype: str, packing: Packing, rates: Rates | None
) -> Native | NativePair:
    """Return the programs of a model published in a type, with matrices packed in one way.

    Raises:
        NoProgramError: when `programs.why_modules` has a reason.
    """
    return of_plans(spec, planned(spec, dtype), packing, rates)


def of_plans(
    spec: Layered | Writing, plans: Sequence[Plan], packing: Packing, rates: Rates | None
) -> Native | NativePair:
    """Return the programs of one plan, or of the two of a model that looks at a source."""
    made = [Native(spec, plan, packing, rates) for plan in plans]
    return NativePair(*made) if len(made) > 1 else made[0]


def as_in_files(
    description: Description, contents: Contents, spec: Layered | Writing, quant: str | None
) -> Packing:
    """Return how matrices of a checkpoint's files are packed."""
    assigned = {name: one for one in description.assignments() for name in one.ours}
    rounded, integers = rounds(spec), grouped(parameters(spec), quant)
    return lambda one: packed_from(
        contents,
        assigned[one.name],
        one.name,
        exact=one.exact,
        decoded=one.turned,
        rounded=rounded,
        grouped=integers.get(one.name),
    )


def as_named(spec: Layered | Writing, stored: str, finer: Sequence[bool] | None = None) -> Packing:
    """Return how matrices stored under a name are packed; `finer` as for `stored_encoding`.

    Raises:
        RequestError: for an unknown name.
    """
    chosen = stored_encoding(spec, stored, finer)
    held = {one.name: one for one in parameters(spec)}
    rounded = rounds(spec)

    def packing(one: Matrix) -> str:
        encoding = chosen(held[one.name])
        kept = DECODED if one.turned else encoding
        return packed_as(kept, exact=one.exact, wide=encoding == "F32", rounded=rounded)

    return packing
