"""Writing a model as a checkpoint folder that its publisher's own tools open.

The same rules that renamed the tensors on the way in rename them on the way out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.checkpoint.description import Description
from fathom.checkpoint.naming import spell
from fathom.checkpoint.rewriting import backwards
from fathom.checkpoint.storage import publish, writing
from fathom.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

# What else belongs to a model: copied as it is from the folder that it came from.
BESIDE = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)


def save(description: Description, parameters: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as safetensors with its configuration and tokenizer.

    `parameters` are ours by name. The folder appears whole or not at all.

    Raises:
        RequestError: when the folder exists already.
        FetchError: when the disk is full; nothing is left behind.
    """
    from fathom.checkpoint.safetensors_writer import write_safetensors

    if folder.exists():
        raise RequestError(f"{folder} exists already; name a new folder")
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    tensors: dict[str, Tensor] = {}
    for assignment in spell(description.dialect.rules(description.spec), shapes):
        ours = [parameters[name] for name in assignment.ours]
        theirs = backwards(assignment.steps, ours)
        for name, tensor in zip(assignment.theirs, theirs, strict=True):
            spelled = name.removeprefix(description.dialect.prefix) if description.bare else name
            tensors[spelled] = tensor.detach().contiguous()
    needed = sum(tensor.nbytes for tensor in tensors.values())

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(folder.parent, str(folder), needed):
            partial.mkdir(parents=True)
            write_safetensors(partial / "model.safetensors", tensors, {"format": "pt"})
            (partial / "config.json").write_text(json.dumps(_configuration(description), indent=2))
            for name in BESIDE:
                if (description.folder / name).is_file():
                    shutil.copyfile(description.folder / name, partial / name)
            publish(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _configuration(description: Description) -> dict[str, object]:
    """Return the configuration without what spoke of the old files' encoding."""
    dropped = ("quantization_config", "dtype", "torch_dtype")
    return {key: value for key, value in description.config.items() if key not in dropped}
