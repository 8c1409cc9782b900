"""A LoRA adapter on a loaded model, put on from outside: no model code knows of it.

                         rules                     outputs only move
    a publisher's tensor ─────► our parameters ─┬────────────────────► adapted bricks
                                                └─ anything else ────► folded in

A fused projection of the publisher is several of ours: they share `down` and part `up`. Where a
factor cannot follow a rule, as where experts are stacked, the change is folded into the weights
at once, in the publisher's own layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from fathom.blocks.adapted import AdaptedLinear, AdaptedTable
from fathom.blocks.bricks import Linear, Table
from fathom.checkpoint.adapters import Adapter, Change, Replacement
from fathom.checkpoint.description import Description
from fathom.checkpoint.factors import moves_outputs_only, outputs_forwards
from fathom.checkpoint.fitting import Fit, fit, untied
from fathom.checkpoint.naming import Assignment
from fathom.checkpoint.rewriting import backwards, forwards
from fathom.errors import ModelFileError
from fathom.spec import parts
from fathom.spec.decoder import Decoder
from fathom.spec.model import TextModel

TABLE, HEAD = "embedding.tokens", "output.head"  # of a decoder

E_co = TypeVar("E_co", bound=Change | Replacement, covariant=True)


class Source(Protocol):
    """Where an adapter's tensors come from, by their names in its file."""

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """Return one tensor in `dtype`."""
        ...


@dataclass(frozen=True)
class Applied:
    """What an adapter did to a model.

    `bytes` are in memory beside the base; `folded` are our parameters whose weights took a change
    up at once; an `untied` output no longer reads the embedding's table.
    """

    bytes: int
    folded: tuple[str, ...]
    untied: bool


def put_on(model: nn.Module, description: Description, adapter: Adapter, source: Source) -> Applied:
    """Put an adapter on a model that was loaded from `description`.

    Raises:
        TensorMismatchError: where they do not fit one another, as `checkpoint.fitting` says;
            nothing is changed then.
        ModelFileError: ``E_NONFINITE`` for NaN or infinity in it; the model is spoiled then.
    """
    fits = fit(adapter, description)
    reader = _Reader(source, adapter)
    shared, own = _parted(fits.replacements, lambda found: not _is_own(found))
    _fold(model, shared, reader)
    edits: list[Fit[Change | Replacement]] = [*own, *fits.changes]
    if fits.tied and any(_edits_one_end(found) for found in edits):
        _give_head(model, fits.spec)
    _fold(model, own, reader)
    carried, rest = _parted(fits.changes, lambda found: _carries(model, found))
    for change in carried:
        _adapt(model, change, reader)
    folded = _fold(model, rest, reader)
    adapted = [m for m in model.modules() if isinstance(m, AdaptedLinear | AdaptedTable)]
    return Applied(sum(m.bytes for m in adapted), tuple(folded), fits.tied and _is_untied(model))


def merge(model: nn.Module, spec: TextModel) -> bool:
    """Fold the adapter of a model into its weights; tell whether its output is untied now.

    A tied output goes on reading the table as it was before, so that the scores stay the same.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, AdaptedLinear | AdaptedTable):
            _set(model, name, module.merged())
    return untied(spec) is not spec and _is_untied(model)


class _Reader:
    """An adapter's tensors: in float32, finite, and in memory of their own."""

    def __init__(self, source: Source, adapter: Adapter) -> None:
        self._source = source
        self._adapter = adapter

    def read(self, name: str, device: torch.device) -> Tensor:
        tensor = self._source.tensor(name, torch.float32).to(device, copy=True)
        if not tensor.isfinite().all():
            file = self._adapter.contents.tensors[name].file
            detail = f"'{name}' holds NaN or infinity; train or fetch the adapter again"
            raise ModelFileError("E_NONFINITE", detail, file=file)
        return tensor

    def factors(self, change: Change, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return down (rank, inputs), up (outputs, rank) scaled, and the magnitude (outputs,)."""
        magnitude = None if change.magnitude is None else self.read(change.magnitude, device)
        up = self.read(change.up, device) * change.scale
        return self.read(change.down, device), up, magnitude

    def edited(self, found: Fit[Change | Replacement], tensor: Tensor) -> Tensor:
        """Return a publisher's tensor, float32, after an edit."""
        edit = found.edit
        if isinstance(edit, Replacement):
            return self.read(edit.source, tensor.device)
        down, up, magnitude = self.factors(edit, tensor.device)
        weight = (tensor.T if found.turned else tensor) + up @ down
        if magnitude is not None:
            weight = weight * (magnitude / weight.norm(dim=1))[:, None]
        return weight.T if found.turned else weight


def _parted(
    fits: Sequence[Fit[E_co]], holds: Callable[[Fit[E_co]], bool]
) -> tuple[list[Fit[E_co]], list[Fit[E_co]]]:
    """Part those for which something holds from the others."""
    held: list[Fit[E_co]] = []
    others: list[Fit[E_co]] = []
    for found in fits:
        (held if holds(found) else others).append(found)
    return held, others


def _is_own(found: Fit[Replacement]) -> bool:
    """Tell whether a tensor is for its module alone, not for what was tied to that as well."""
    return found.edit.own or found.concerns(HEAD)


def _edits_one_end(found: Fit[Change | Replacement]) -> bool:
    """Tell whether an edit makes the two ends of a tied model differ."""
    return found.concerns(HEAD) or found.concerns(TABLE)


def _carries(model: nn.Module, change: Fit[Change]) -> bool:
    """Tell whether our modules can carry a change beside their weights."""
    kind = Table if change.edit.table else Linear
    steps, theirs, ours = (
        change.assignment.steps,
        change.assignment.theirs,
        change.assignment.ours,
    )
    follows = not steps if change.edit.table else moves_outputs_only(steps)
    return follows and len(theirs) == 1 and all(_is_plain(model, name, kind) for name in ours)


def _is_plain(model: nn.Module, parameter: str, kind: type[nn.Module]) -> bool:
    """Tell whether a parameter is the one matrix of a brick of just this kind."""
    path, _, leaf = parameter.rpartition(".")
    module = model.get_submodule(path)
    return type(module) is kind and leaf == "weight" and model.get_parameter(parameter).ndim == 2


def _adapt(model: nn.Module, change: Fit[Change], reader: _Reader) -> None:
    """Put adapted bricks in the place of those that a change belongs to."""
    ours, steps = change.assignment.ours, change.assignment.steps
    device = model.get_parameter(ours[0]).device
    down, up, magnitude = reader.factors(change.edit, device)
    ups = outputs_forwards(steps, up)
    lengths = [None] * len(ours) if magnitude is None else outputs_forwards(steps, magnitude)
    kind = AdaptedTable if change.edit.table else AdaptedLinear
    for name, part, length in zip(ours, ups, lengths, strict=True):
        path = name.removesuffix(".weight")
        base = model.get_submodule(path)
        _set(model, path, kind(base, down, part.contiguous(), length))  # type: ignore[arg-type]


def _fold(model: nn.Module, fits: Sequence[Fit[E_co]], reader: _Reader) -> list[str]:
    """Rewrite what is edited, in the publisher's layout; return which of ours were rewritten."""
    groups: dict[Assignment, list[Fit[E_co]]] = {}
    for found in fits:
        groups.setdefault(found.assignment, []).append(found)
    for assignment, edits in groups.items():
        ours = [model.get_parameter(name) for name in assignment.ours]
        theirs = backwards(assignment.steps, [parameter.float() for parameter in ours])
        for found in edits:
            place = assignment.theirs.index(found.tensor)
            theirs[place] = reader.edited(found, theirs[place])
        edited = forwards(assignment.steps, theirs)
        for name, before, after in zip(assignment.ours, ours, edited, strict=True):
            kept = after.to(before.dtype).contiguous()
            _set(model, name, nn.Parameter(kept, requires_grad=False))
    return [name for assignment in groups for name in assignment.ours]


def _give_head(model: nn.Module, spec: TextModel) -> None:
    """Give a tied output a head, which reads the table all the same until either is changed."""
    output, table = model.get_submodule("output"), model.get_submodule(TABLE)
    described = spec.output.parts()["head"] if isinstance(spec, Decoder) else None
    if not isinstance(described, parts.Linear) or output.head is not None:
        return
    with torch.device("meta"):
        head = Linear(described)
    head.weight, head.bias = table.weight, output.bias
    output.head, output.bias = head, None


def _is_untied(model: nn.Module) -> bool:
    """Tell whether the output of a decoder that was tied reads another weight by now."""
    if model.get_submodule("output").head is None:
        return False
    ends = [_plain(model.get_submodule(end)).weight for end in (HEAD, TABLE)]
    return ends[0] is not ends[1]


def _plain(module: nn.Module) -> nn.Module:
    """Return the brick that holds the weight."""
    return module.base if isinstance(module, AdaptedLinear | AdaptedTable) else module


def _set(model: nn.Module, name: str, value: nn.Module | nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, value)
