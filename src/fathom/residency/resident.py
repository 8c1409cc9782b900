"""All weights in the memory of one device: read, renamed, converted, one tensor at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from fathom.checkpoint.naming import Assignment
from fathom.checkpoint.rewriting import forwards
from fathom.errors import TensorMismatchError
from fathom.models.assemble import assemble
from fathom.residency.allocation import hold_what_is_alive
from fathom.residency.whole_layers import pack_layers
from fathom.spec.model import Model
from fathom.spec.parts import parameters
from fathom.spec.roles import EXACT

if TYPE_CHECKING:
    from fathom.checkpoint.progress import Progress


class Source(Protocol):
    """Where named tensors come from."""

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """Return one tensor, decoded, in `dtype` if it is given."""
        ...

    def maps(self, tensor: Tensor) -> bool:
        """Return whether a tensor looks into a file rather than into memory of its own."""
        ...

    def kept(self, tensor: Tensor) -> Tensor:
        """Return what a tensor holds that looks into a file, to compute with: there or not."""
        ...

    def release(self, name: str) -> None:
        """Let go of what was read of a tensor; nobody looks into it any more."""
        ...


def load(
    spec: Model,
    source: Source,
    assignments: Sequence[Assignment],
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    packed: bool = False,
    progress: Progress | None = None,
) -> nn.Module:
    """Return the model that a spec describes, filled from `source` as `fill` says.

    Layers that can run whole are `packed` if that is asked; their parameters are gone then.

    Raises:
        TensorMismatchError: when a tensor has another shape than the spec says.
    """
    hold_what_is_alive()
    model = assemble(spec)
    fill(model, spec, source, assignments, dtype=dtype, device=device, progress=progress)
    for path in pack_layers(model, spec) if packed else ():
        gone = [each for each in assignments if each.ours[0].startswith(f"{path}.")]
        for name in (name for each in gone for name in each.theirs):
            source.release(name)
    return model.eval()


def fill(
    model: nn.Module,
    spec: Model,
    source: Source,
    assignments: Sequence[Assignment],
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> None:
    """Fill the parameters that `assignments` name from `source`.

    Weights take `dtype`, those whose role is exact stay in float32. Beside the model itself no
    more than the tensors of one assignment are in memory.

    Raises:
        TensorMismatchError: when a tensor has another shape than the spec says.
    """
    wanted = {parameter.name: parameter for parameter in parameters(spec)}
    for assignment in assignments:
        exact = any(wanted[name].role in EXACT for name in assignment.ours)
        target = torch.float32 if exact else dtype
        tensors = forwards(
            assignment.steps, [source.tensor(name, target) for name in assignment.theirs]
        )
        mapped = False
        for name, tensor in zip(assignment.ours, tensors, strict=True):
            if tuple(tensor.shape) != wanted[name].shape:
                raise TensorMismatchError(
                    f"'{assignment.theirs[0]}' gives '{name}' the shape {list(tensor.shape)},"
                    f" but the configuration says {list(wanted[name].shape)}; take both"
                    " from one place"
                )
            settled = _settled(tensor.to(device=device, dtype=target), source)
            mapped = mapped or source.maps(settled)
            _place(model, name, settled)
            if progress is not None:
                progress.advance(settled.nbytes)
        del tensors
        for name in () if mapped else assignment.theirs:  # what is looked at must stay
            source.release(name)


def _settled(tensor: Tensor, source: Source) -> Tensor:
    """Return a tensor to compute with, which holds no larger tensor's memory."""
    if source.maps(tensor):
        return source.kept(tensor)
    shares = tensor.untyped_storage().nbytes() > tensor.nbytes
    return tensor.clone(memory_format=torch.contiguous_format) if shares else tensor.contiguous()


def _place(model: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(path), leaf, nn.Parameter(tensor, requires_grad=False))
