"""Where the changes of an adapter belong in a model: by the rules of its dialect, before any
tensor is read.

All of an adapter has a place and its shape there, or the error lists both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fathom.checkpoint.adapters import Adapter, Change, Replacement
from fathom.checkpoint.description import Description
from fathom.checkpoint.factors import inputs_first, stacks
from fathom.checkpoint.naming import Assignment, belonging, spell
from fathom.checkpoint.rewriting import backwards
from fathom.errors import TensorMismatchError
from fathom.spec.decoder import Decoder
from fathom.spec.model import TextModel
from fathom.spec.parts import parameters

SHOWN = 4  # names and complaints listed in an error

E = TypeVar("E", Change, Replacement)
E_co = TypeVar("E_co", bound=Change | Replacement, covariant=True)


@dataclass(frozen=True)
class Fit(Generic[E_co]):
    """An edit and its place: the assignment, and the edited tensor as the rules spell it."""

    edit: E_co
    assignment: Assignment
    tensor: str

    @property
    def turned(self) -> bool:
        """Whether the file's tensor is (inputs, outputs), as tables are, and GPT-2's maps."""
        table = isinstance(self.edit, Change) and self.edit.table
        return table != inputs_first(self.assignment.steps)

    def concerns(self, module: str) -> bool:
        """Tell whether one of our modules is edited."""
        return any(name.rpartition(".")[0] == module for name in self.assignment.ours)


@dataclass(frozen=True)
class Fits:
    """All edits of an adapter with their places.

    `spec` is that of the model, its output untied where it is `tied`: an adapter may edit the
    output alone, so it counts as a place of its own.
    """

    spec: TextModel
    tied: bool
    changes: tuple[Fit[Change], ...]
    replacements: tuple[Fit[Replacement], ...]


def untied(spec: TextModel) -> TextModel:
    """Return the spec of a decoder with an output of its own; others, and such, as they are."""
    if isinstance(spec, Decoder) and spec.output.tied:
        return replace(spec, output=replace(spec.output, tied=False))
    return spec


def untied_description(description: Description) -> Description:
    """Return a description by which a decoder with an output of its own can be saved."""
    config = {**description.config, "tie_word_embeddings": False}
    return replace(description, spec=untied(description.text), config=config)


def fit(adapter: Adapter, description: Description) -> Fits:
    """Return where the edits of an adapter belong in the model of a checkpoint.

    Raises:
        TensorMismatchError: a tensor of the adapter has no place in the model or another shape,
            or the model has targets that the adapter leaves out.
    """
    places = _Places(description)
    changes, replacements = places.find(adapter.changes), places.find(adapter.replacements)
    fits: list[Fit[Change | Replacement]] = [*changes, *replacements]
    lost = _without_place(adapter, fits)
    missing = places.left_out(adapter.targets, changes)
    sides = [side for found in fits if (side := places.complaint(found, adapter))]
    if lost:
        sides.append(f"{len(lost)} of its tensors have no place in the model: {_listed(lost)}")
    if missing:
        sides.append(f"{len(missing)} of its targets have no tensors: {_listed(missing)}")
    if sides:
        made_for = f", made for {adapter.base[:80]!r}," if adapter.base else ""
        raise TensorMismatchError(
            f"The adapter {adapter.path.name}{made_for} does not fit this model."
            f" {'; '.join(sides[-SHOWN:])}. Open the base that it was"
            " trained on"
        )
    return Fits(places.spec, places.tied, tuple(changes), tuple(replacements))


class _Places:
    """The rules of a model's dialect, asked from the publisher's side."""

    def __init__(self, description: Description) -> None:
        self.spec = untied(description.text)
        self.tied = self.spec is not description.spec
        self._prefix = description.dialect.prefix
        self._rules = description.dialect.rules(self.spec)
        self._shapes = {found.name: found.shape for found in parameters(self.spec)}

    def find(self, edits: Sequence[E]) -> list[Fit[E]]:
        """Return the edits that have a place."""
        return [found for edit in edits if (found := self._place(edit)) is not None]

    def _place(self, edit: E) -> Fit[E] | None:
        """Adapters of a bare trunk leave out the prefix that the rules' names begin with."""
        for name in (edit.tensor, self._prefix + edit.tensor):
            assignment = belonging(self._rules, name, self._shapes)
            if assignment is not None:
                return Fit(edit, assignment, name)
        return None

    def left_out(self, targets: Sequence[str], changes: Sequence[Fit[Change]]) -> list[str]:
        """Return the weights that `targets` promise to change, and `changes` do not."""
        changed = {change.tensor for change in changes}
        return [name for name in self._promised(targets) if name not in changed]

    def _promised(self, targets: Sequence[str]) -> Iterator[str]:
        """Yield what `targets` name; not experts, which newer publishers' code keeps fused."""
        for assignment in spell(self._rules, self._shapes) if targets else ():
            for name in assignment.theirs:
                module = name.removesuffix(".weight")
                named = any(module == t or module.endswith("." + t) for t in targets)
                if named and module != name and not stacks(assignment.steps):
                    yield name

    def complaint(self, found: Fit[Change | Replacement], adapter: Adapter) -> str:
        """Return what is wrong with the shape of an edit, or an empty text."""
        wanted, given = self._shape(found), _shape(found, adapter)
        return "" if wanted == given else f"'{found.tensor}' is {wanted}, the adapter's {given}"

    def _shape(self, found: Fit[Change | Replacement]) -> list[int]:
        """Return the shape of a publisher's tensor: our parameters', led back by the rule."""
        import torch

        assignment = found.assignment
        ours = [torch.empty(self._shapes[name], device="meta") for name in assignment.ours]
        theirs = backwards(assignment.steps, ours)
        return list(theirs[assignment.theirs.index(found.tensor)].shape)


def _shape(found: Fit[Change | Replacement], adapter: Adapter) -> list[int]:
    """Return the shape that an adapter has for a publisher's tensor."""
    tensors, edit = adapter.contents.tensors, found.edit
    if isinstance(edit, Replacement):
        return list(tensors[edit.source].shape)
    outputs, inputs = tensors[edit.up].shape[0], tensors[edit.down].shape[1]
    length = outputs if edit.magnitude is None else tensors[edit.magnitude].shape[0]
    return [inputs, length] if found.turned else [length, inputs]


def _without_place(adapter: Adapter, fits: Sequence[Fit[Change | Replacement]]) -> list[str]:
    placed = {found.edit.tensor for found in fits}
    edited = [*(e.tensor for e in adapter.changes), *(e.tensor for e in adapter.replacements)]
    return [tensor for tensor in edited if tensor not in placed]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" … and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
