"""Changes of a LoRA added to the weights of a pipeline's parts, each where it belongs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.description import Description
from fathom.checkpoint.naming import belonging
from fathom.checkpoint.picture_adapters import PictureChange, read_changes
from fathom.checkpoint.rewriting import forwards
from fathom.checkpoint.tensors import Reader
from fathom.errors import NotFoundError, TensorMismatchError
from fathom.spec.parts import parameters

NOTES = "lora_adapter_metadata"  # where diffusers keeps what PEFT was configured with


def put_on(module: nn.Module, description: Description, path: Path, scale: float = 1.0) -> int:
    """Add the changes of an adapter, times `scale`; return how many weights it changed.

    Raises:
        TensorMismatchError: when it was made for another model; nothing is changed then.
        NotFoundError, ModelFileError: as `read_headers`.
    """
    if description.contents is None:
        raise NotFoundError(
            f"{description.path} holds no weights for an adapter to change; fetch them as well"
        )
    contents, changes = read_changes(path, description.contents.tensors)
    rules, theirs = description.rules(), description.contents.tensors
    shapes = {found.name: found.shape for found in parameters(description.spec)}
    added: list[tuple[str, Tensor]] = []
    with Reader(contents) as reader:
        for change in changes:
            assignment = belonging(rules, change.tensor, shapes)
            if assignment is None:
                raise TensorMismatchError(
                    f"no part of this model reads '{change.tensor}'; open the model that the"
                    " adapter was trained on"
                )
            whole = _whole(reader, change, contents, theirs[change.tensor].shape) * scale
            pairs = zip(assignment.ours, forwards(assignment.steps, [whole]), strict=True)
            added += pairs
    held: Mapping[str, nn.Parameter] = dict(module.named_parameters())
    with torch.no_grad():
        for name, more in added:
            weight = held[name]
            weight.copy_((weight.float() + more.to(weight.device)).to(weight.dtype))
    return len(changes)


def _whole(
    reader: Reader, change: PictureChange, contents: Contents, shape: tuple[int, ...]
) -> Tensor:
    """Return a change in the shape of the publisher's weight, float32."""
    down, up = (reader.tensor(name, torch.float32) for name in (change.down, change.up))
    product = up.flatten(1) @ down.flatten(1)
    if product.numel() != torch.Size(shape).numel() or product.shape[0] != shape[0]:
        raise TensorMismatchError(
            f"'{change.tensor}' is {list(shape)}, and the adapter changes {list(product.shape)};"
            " open the model that it was trained on"
        )
    rank = down.shape[0]
    if change.scale is not None:
        strength = float(reader.tensor(change.scale, torch.float32))
    else:
        strength = _noted(contents, change.tensor, rank)
    return product.view(shape) * (strength / rank)


def _noted(contents: Contents, tensor: str, rank: int) -> float:
    """Return the strength that the file's notes state for a part; its rank where they do not."""
    noted = contents.metadata.get(NOTES)
    if not isinstance(noted, str):
        return float(rank)
    try:
        stated = json.loads(noted).get(f"{tensor.partition('.')[0]}.lora_alpha", rank)
    except (ValueError, AttributeError):
        return float(rank)
    return float(stated) if isinstance(stated, int | float) else float(rank)
