"""A checkpoint explained: what it is made of, what a token costs in each part, where it runs.

Made from the description that opens and plans the model, so it cannot tell another story.
Weights are not needed: a configuration is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from fathom.checkpoint.description import Description
from fathom.checkpoint.naming import Assignment, spell
from fathom.errors import RequestError, TensorMismatchError
from fathom.planning.costs import (
    BYTES,
    TIED_TABLE,
    Cost,
    Storage,
    active_by_role,
    computed_in,
    cost,
    total,
)
from fathom.planning.programs import steps_that_run
from fathom.planning.running_code import Code, running_code, step_code, translating_code
from fathom.spec.classes import model_class
from fathom.spec.outline import Entry, Kind, Stack, outline
from fathom.spec.parts import Compound, Part, parameters
from fathom.spec.roles import Role

USUAL = "bfloat16"  # what most weights are published in, where a file does not say


@dataclass(frozen=True)
class Row:
    """One part: our name for it, what it is, what a token costs in it."""

    path: str
    words: str
    cost: Cost


@dataclass(frozen=True)
class Layers:
    """Layers that are alike. `cost` is of one of them; weights are the mean over all."""

    label: str
    layers: tuple[int, ...]
    rows: tuple[Row, ...]
    cost: Cost


@dataclass(frozen=True)
class Section:
    """A part of the model that occurs once, or a stack of layers; `cost` is of all of it."""

    path: str
    words: str  # of a stack, the order of its layers
    cost: Cost
    kinds: tuple[Layers, ...] = ()


@dataclass(frozen=True)
class RoleCount:
    """Parameters of one role: all of them, and those that one token passes."""

    role: str
    parameters: int
    active: int


@dataclass(frozen=True)
class Named:
    """One of our parameters and the tensors of the publisher that fill it."""

    ours: str
    theirs: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """A reader's page about one model. `outline` is the spec in text, as it prints.

    `code` defines what is computed. It also runs, unless there are `steps`: those of the native
    programs that opening makes on this machine.
    """

    name: str
    architecture: str
    model_class: str
    rule: str  # what decided the class
    limit: int  # positions that the publisher states
    context: int  # for which costs are counted
    weights: str  # how weights are counted: "float32" … or "as stored"
    state: str  # the type in which state is counted
    outline: str
    sections: tuple[Section, ...]
    cost: Cost
    roles: tuple[RoleCount, ...]
    code: tuple[Code, ...]
    steps: tuple[Code, ...] = ()
    names: tuple[Named, ...] = ()
    notes: tuple[str, ...] = ()


class Counted(TypedDict, total=False):
    """What may be asked of a page; see `explain`."""

    dtype: str | None
    context: int | None
    names: bool


def explain(
    description: Description,
    *,
    name: str = "",
    dtype: str | None = None,
    context: int | None = None,
    names: bool = False,
) -> Explanation:
    """Return the page about a checkpoint.

    Args:
        name: what the reader calls it.
        dtype: the type that weights are counted in; by default as they are stored, and for a
            configuration alone in the type that it names.
        context: tokens of the sequence that a token follows; by default the model's own limit.
        names: also list the publisher's names beside ours.

    Raises:
        RequestError: for an unknown type, or a context beyond the model's own.
        TensorMismatchError: with `names`, for a parameter that no rule names.
    """
    spec = description.text
    context = spec.context if context is None else context
    if not 1 <= context <= spec.context:
        raise RequestError(f"a context of {context:,}: the model takes 1 to {spec.context:,}")
    storage, weights, notes = _storage(description, dtype)
    state = _configured(description)[0] if dtype is None else dtype
    sections = tuple(map(_Counting(storage, state, context).section, outline(spec)))
    decided, rule = model_class(spec)
    return Explanation(
        name=name or str(description.path),
        architecture=description.dialect.name,
        model_class=decided,
        rule=rule,
        limit=spec.context,
        context=context,
        weights=weights,
        state=state,
        outline=str(spec),
        sections=sections,
        cost=total(section.cost for section in sections),
        roles=count_roles(description.spec),
        code=(
            translating_code(description.dialect.read, description.dialect.name),
            *running_code(spec),
        ),
        steps=step_code(steps_that_run(spec, USUAL, dtype_asked=dtype)),
        names=tuple(names_of(description, spec)) if names else (),
        notes=notes,
    )


@dataclass(frozen=True)
class _Counting:
    """How costs are counted, for one page."""

    storage: Storage
    state: str
    context: int

    def section(self, found: Entry | Stack) -> Section:
        if isinstance(found, Entry):
            return Section(found.path, found.words, self._cost(found, ""))
        kinds = tuple(self._layers(found.path, kind) for kind in found.kinds)
        every = (
            self._cost(row, f"{found.path}.{layer}.")
            for kind in found.kinds
            for layer in kind.layers
            for row in kind.rows
        )
        return Section(found.path, found.order, total(every), kinds)

    def _layers(self, stack: str, kind: Kind) -> Layers:
        rows = tuple(
            Row(row.path, row.words, self._mean(row, stack, kind.layers)) for row in kind.rows
        )
        return Layers(kind.label, kind.layers, rows, total(row.cost for row in rows))

    def _mean(self, row: Entry, stack: str, layers: Sequence[int]) -> Cost:
        """Return the cost of a row in a layer; files may store alike layers unalike."""
        costs = [self._cost(row, f"{stack}.{layer}.") for layer in layers]
        read = sum(one.weight_bytes for one in costs)
        return replace(costs[0], weight_bytes=round(read / len(costs)))

    def _cost(self, entry: Entry, lead: str) -> Cost:
        path = f"{lead}{entry.path}"
        parts = [(entry.part, path)]
        parts += [] if entry.residual is None else [(entry.residual, f"{path}_residual")]
        return total(
            cost(part, self.storage, dtype=self.state, context=self.context, path=place)
            for part, place in parts
        )


def _storage(description: Description, dtype: str | None) -> tuple[Storage, str, tuple[str, ...]]:
    """Return how weights are counted, that in words, and what a reader should know of it."""
    if dtype is not None:
        if dtype not in BYTES:
            raise RequestError(f"dtype '{dtype}' is not one of {', '.join(BYTES)}")
        return computed_in(dtype), dtype, ()
    if description.contents is not None:
        try:
            return _stored(description), "as stored", ()
        except TensorMismatchError as error:
            named, notes = _configured(description)
            return computed_in(named), named, (f"not counted as stored: {error}", *notes)
    named, notes = _configured(description)
    return computed_in(named), named, notes


def _stored(description: Description) -> Storage:
    """Return bytes per number as the file holds each parameter."""
    contents = description.contents
    held: dict[str, float] = {}
    for assignment in description.assignments():
        tensors = [contents.tensors[name] for name in assignment.theirs] if contents else []
        numbers = sum(tensor.elements for tensor in tensors)
        each = sum(tensor.size for tensor in tensors) / max(1, numbers)
        held.update(dict.fromkeys(assignment.ours, each))
    tables = [each for name, each in held.items() if name.endswith(TIED_TABLE)]
    return lambda parameter: held[parameter.name] if parameter.name in held else tables[0]


def _configured(description: Description) -> tuple[str, tuple[str, ...]]:
    """Return the type that a configuration names for its weights, or the usual one, saying so."""
    named = description.config.get("dtype", description.config.get("torch_dtype"))
    if isinstance(named, str) and named in BYTES:
        return named, ()
    return USUAL, (f"the configuration names no type of weights; they are counted as {USUAL}",)


def count_roles(spec: Part) -> tuple[RoleCount, ...]:
    """Return the parameters by role, the most numerous first."""
    held: dict[Role, int] = {}
    for parameter in parameters(spec):
        held[parameter.role] = held.get(parameter.role, 0) + parameter.elements
    passed = active_by_role(spec)
    ordered = sorted(held.items(), key=lambda item: -item[1])
    return tuple(RoleCount(str(role), number, passed[role]) for role, number in ordered)


def names_of(description: Description, spec: Compound) -> Iterator[Named]:
    """Yield our names and theirs: what occurs once, and the first layer of each kind."""
    shown = dict(_first_of_each_kind(spec))
    if description.contents is not None:
        spelled: Sequence[Assignment] = description.assignments()
    else:
        spelled = spell(description.rules(), shown)
    for assignment in spelled:
        yield from (Named(ours, assignment.theirs) for ours in assignment.ours if ours in shown)


def _first_of_each_kind(model: Compound) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and shapes of parameters, of layers that are alike only the first one's."""
    for section in outline(model):
        if isinstance(section, Entry):
            places: list[tuple[str, Part]] = [(section.path, section.part)]
        else:
            places = [(f"{section.path}.{kind.layers[0]}", kind.part) for kind in section.kinds]
        for path, part in places:
            yield from ((f"{path}.{one.name}".rstrip("."), one.shape) for one in parameters(part))
