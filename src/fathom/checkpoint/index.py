"""Checkpoints in several files, joined by ``*.safetensors.index.json``.

An index is as untrusted as a header: the files that it names must lie in its own folder, and what
it says of each tensor must agree with the headers.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.documents import read_json
from fathom.checkpoint.limits import INDEX_BYTES, SHARDS, TENSORS
from fathom.checkpoint.safetensors import read_header
from fathom.errors import ModelFileError

__all__ = ["INDEX_SUFFIX", "check_inside", "read_index"]

INDEX_SUFFIX = ".safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")

logger = logging.getLogger(__name__)


def read_index(path: Path) -> Contents:
    """Read all shards that an index names, from their headers alone.

    Raises:
        ModelFileError: ``E_PATH`` for a shard outside the folder, ``E_UNSAFE_CODE`` for a pickle,
            ``E_MISMATCH`` where index, folder and headers disagree.
    """
    document = read_json(path, limit=INDEX_BYTES)
    where = _weight_map(document, path)
    names = sorted(set(where.values()))
    SHARDS.check(len(names), "too many shards", file=path)
    for name in names:
        _check_shard_name(name, path)
    _check_folder(names, where, path)
    files = tuple(path.parent / name for name in names)
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, object] = {}
    for file in files:
        check_inside(file, path.parent)
        shard = read_header(file)
        _check_shard(shard, where, tensors, path)
        tensors.update(shard.tensors)
        metadata = {**shard.metadata, **metadata}
    absent = next((name for name in where if name not in tensors), None)
    if absent is not None:
        detail = f"{absent} should be in {where[absent]} and is not; fetch that file again"
        raise ModelFileError("E_MISMATCH", detail, file=path)
    contents = Contents("safetensors", files, tensors, metadata)
    _compare_total(document, contents, path)
    return contents


def check_inside(file: Path, folder: Path) -> None:
    """Refuse a file that a symbolic link puts outside `folder`, with ``E_PATH``.

    The cache of the Hugging Face hub is made of such links, from ``snapshots/<revision>`` to
    ``blobs`` two levels up; those are allowed.
    """
    real, home = file.resolve(), folder.resolve()
    if real.is_relative_to(home):
        return
    snapshots = next((level for level in home.parents if level.name == "snapshots"), None)
    if snapshots is not None and real.parent == snapshots.parent / "blobs":
        return
    detail = "a link to outside its folder; replace it by the file itself"
    raise ModelFileError("E_PATH", detail, file=file)


def _weight_map(document: dict[str, object], path: Path) -> dict[str, str]:
    value = document.get("weight_map")
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        detail = "needs a weight_map from tensor names to file names; fetch it again"
        raise ModelFileError("E_HEADER_SYNTAX", detail, file=path)
    if not value:
        raise ModelFileError("E_MISMATCH", "the weight_map is empty; fetch it again", file=path)
    TENSORS.check(len(value), "too many tensors", file=path)
    return value


def _check_shard_name(name: str, path: Path) -> None:
    if not name or name in (".", "..") or any(mark in name for mark in "/\\:\0"):
        detail = f"names the shard {name[:80]!r}; shards lie beside the index"
        raise ModelFileError("E_PATH", detail, file=path)
    if name.endswith(_PICKLES):
        detail = f"names {name[:80]!r}, a pickle, which can run code; convert it to safetensors"
        raise ModelFileError("E_UNSAFE_CODE", detail, file=path)
    if not name.endswith(".safetensors"):
        detail = f"names {name[:80]!r}, which is no .safetensors file"
        raise ModelFileError("E_PATH", detail, file=path)


def _check_folder(names: list[str], where: dict[str, str], path: Path) -> None:
    """Each named shard must be in the folder, and none of the same set beside them."""
    for name in names:
        if not (path.parent / name).is_file():
            lost = next(tensor for tensor, file in where.items() if file == name)
            detail = f"the shard {name}, which holds {lost}, is missing; fetch it"
            raise ModelFileError("E_MISMATCH", detail, file=path)
    matches = [match for name in names if (match := _SHARD.fullmatch(name))]
    sets = {(match["stem"], match["count"]) for match in matches}
    for file in sorted(path.parent.glob("*.safetensors")):
        match = _SHARD.fullmatch(file.name)
        if match and (match["stem"], match["count"]) in sets and file.name not in names:
            detail = f"the shard {file.name} is in the folder and not in the index; fetch both"
            raise ModelFileError("E_MISMATCH", detail, file=path)


def _check_shard(
    shard: Contents, where: dict[str, str], known: dict[str, TensorInfo], path: Path
) -> None:
    (file,) = shard.files
    for name in shard.tensors:
        if name in known:
            detail = f"{name} is both in {known[name].file.name} and in {file.name}"
            raise ModelFileError("E_MISMATCH", detail, file=path)
        if where.get(name) != file.name:
            said = where.get(name, "no shard")
            detail = f"{name} is in {file.name}, the index says {said}; fetch both again"
            raise ModelFileError("E_MISMATCH", detail, file=path)


def _compare_total(document: dict[str, object], contents: Contents, path: Path) -> None:
    metadata = document.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(total, int | float) and int(total) != contents.size:
        message = "%s: total_size says %s bytes, the tensors have %s"
        logger.warning(message, path.name, f"{int(total):,}", f"{contents.size:,}")
