"""Writing a model as a checkpoint folder that its publisher's own tools open.

The same rules that renamed the tensors on the way in rename them on the way out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.checkpoint.composed import is_pipeline, parts_of, weights_stem
from fathom.checkpoint.description import Description
from fathom.checkpoint.index import check_inside
from fathom.checkpoint.naming import spell
from fathom.checkpoint.rewriting import backwards
from fathom.checkpoint.sentence_transformers import step_files
from fathom.checkpoint.storage import new_folder, replacing, write_text
from fathom.dialects.gguf import published

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
    "preprocessor_config.json",
    "spiece.model",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
)


TEXTS = (".json", ".txt", ".model", ".md", ".jinja")  # of a pipeline's parts: all but weights
SHARD_BYTES = 5_000_000_000  # of one file; the size at which the hub's own tools cut


def save(
    description: Description,
    parameters: Mapping[str, Tensor],
    folder: Path,
    beside: Mapping[str, str] | None = None,
) -> None:
    """Write a model as safetensors with its configuration and tokenizer.

    `parameters` are ours by name; `beside` holds the texts of more files by name, for what the
    model's own folder lacks. The folder appears whole or not at all.

    Raises:
        RequestError: when the folder exists already.
        WriteError: when the disk is full or cannot be written; nothing is left behind.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    tensors: dict[str, Tensor] = {}
    for assignment in spell(description.dialect.rules(description.spec), shapes):
        ours = [parameters[name] for name in assignment.ours]
        theirs = backwards(assignment.steps, ours)
        for name, tensor in zip(assignment.theirs, theirs, strict=True):
            spelled = name.removeprefix(description.dialect.prefix) if description.bare else name
            tensors[spelled] = tensor.detach().contiguous()
    with new_folder(folder, _bytes(tensors)) as partial:
        if is_pipeline(description.folder):
            _write_parts(description, tensors, partial)
            return
        write_weights(partial, tensors, stem=description.dialect.weights)
        write_text(partial / "config.json", json.dumps(_configuration(description), indent=2))
        copy_beside(description.folder, partial)
        for name, text in (beside or {}).items():
            write_text(partial / name, text)


def write_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    shard_bytes: int = SHARD_BYTES,
    read: Callable[[str], Tensor] | None = None,
    stem: str = "model",
) -> None:
    """Write ``model.safetensors``, or shards and their index where one file would be too long.

    `stem` is what the files are called instead of "model". `read` gives the numbers of one tensor
    at a time where `tensors` are outlines only.
    """
    from fathom.checkpoint.safetensors_writer import write_safetensors

    shards = _shards(tensors, shard_bytes)
    if len(shards) == 1:
        write_safetensors(folder / f"{stem}.safetensors", tensors, {"format": "pt"}, read)
        return
    where: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        part = {name: tensors[name] for name in names}
        write_safetensors(folder / file, part, {"format": "pt"}, read)
        where.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": _bytes(tensors)}, "weight_map": where}
    write_text(folder / f"{stem}.safetensors.index.json", json.dumps(index, indent=2))


def _write_parts(description: Description, tensors: Mapping[str, Tensor], target: Path) -> None:
    """Write a pipeline: each part in its folder, its tensors without the part's name."""
    source = description.folder
    copy_files(source, target)
    for part in parts_of(source):
        (target / part.name).mkdir()
        copy_files(part, target / part.name)
        begin = part.name + "."
        own = {name.removeprefix(begin): t for name, t in tensors.items() if name.startswith(begin)}
        if own:
            write_weights(target / part.name, own, stem=weights_stem(source, part.name))


def copy_files(source: Path, target: Path) -> None:
    """Copy the plain files of a folder that hold no weights."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.suffix in TEXTS and not file.name.endswith(".index.json"):
            check_inside(file, source)
            with replacing(target / file.name) as stream:
                stream.write(file.read_bytes())


def copy_beside(source: Path, target: Path) -> None:
    """Copy what belongs to a model beside its weights and is a plain file in its own folder."""
    for name in (*BESIDE, *step_files(source)):
        if (source / name).is_file():
            check_inside(source / name, source)
            (target / name).parent.mkdir(exist_ok=True)
            with replacing(target / name) as stream:
                stream.write((source / name).read_bytes())


def _shards(tensors: Mapping[str, Tensor], most: int) -> list[list[str]]:
    """Cut names, in order, into runs of at most so many bytes; a larger tensor stands alone."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > most:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += tensor.nbytes
    return shards


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _configuration(description: Description) -> dict[str, object]:
    """Return the configuration without what spoke of the old files' encoding."""
    dropped = ("quantization_config", "dtype", "torch_dtype")
    config = {key: value for key, value in description.config.items() if key not in dropped}
    contents = description.contents
    return published(config) if contents is not None and contents.format == "gguf" else config
