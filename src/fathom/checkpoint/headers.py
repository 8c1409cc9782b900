"""What a checkpoint holds, whatever its format: the door to the header readers.

A file is told by its first bytes and not by its name. In a folder safetensors come before GGUF,
and both before pickles. No tensor is read here.
"""

from __future__ import annotations

import re
from pathlib import Path

from fathom.checkpoint import gguf, pickles, safetensors
from fathom.checkpoint.contents import Contents
from fathom.checkpoint.documents import read_json
from fathom.checkpoint.index import INDEX_SUFFIX, check_inside, read_index
from fathom.checkpoint.limits import SAFETENSORS_HEADER
from fathom.errors import ModelFileError, NotFoundError

__all__ = ["file_format", "read_headers", "read_json"]

USUAL = ("model.safetensors", "diffusion_pytorch_model.safetensors")  # in this order
_PART = re.compile(r".+-(?P<part>\d{5})-of-\d{5}\.(gguf|safetensors)")


def read_headers(path: Path, *, allow_pickle: bool = False) -> Contents:
    """Read the headers of a checkpoint: a folder, one file, an index or a part of a split GGUF.

    Args:
        allow_pickle: load a PyTorch pickle, in a child process and without running its code.

    Raises:
        NotFoundError: nothing is there, or a folder holds no weights.
        ModelFileError: a file is damaged, or is a pickle without `allow_pickle`.
    """
    if path.is_dir():
        return _read_folder(path, allow_pickle=allow_pickle)
    if not path.exists():
        raise NotFoundError(f"{path}: no such file or folder; check the spelling")
    if not path.is_file():
        raise NotFoundError(f"{path}: not a regular file; give a checkpoint file or folder")
    try:
        return _read_file(path, allow_pickle=allow_pickle)
    except PermissionError:
        raise NotFoundError(f"{path}: permission denied; make the file readable") from None


def file_format(path: Path) -> str:
    """Tell "safetensors", "gguf" or "pickle" by the first bytes; "" if it is none of them."""
    with path.open("rb") as stream:
        start = stream.read(16)
    if start.startswith(gguf.MAGIC):
        return "gguf"
    # A length below 100 MB and a brace. It comes before pickle, whose mark can begin a length.
    length = int.from_bytes(start[:8], "little")
    if length <= SAFETENSORS_HEADER.most and start[8:9] in (b"{", b" "):
        return "safetensors"
    return "pickle" if pickles.is_pickle(start) else ""


def _read_file(path: Path, *, allow_pickle: bool) -> Contents:
    if path.name.endswith(INDEX_SUFFIX):
        return read_index(path)
    found = file_format(path)
    if found == "gguf":
        return gguf.read_header(path)
    if found == "pickle":
        if path.suffix in (".safetensors", ".gguf", ".json"):
            detail = f"named {path.suffix} and in truth a pickle, which can run code"
            raise ModelFileError("E_MAGIC", f"{detail}; do not use it", file=path)
        return pickles.read_pickles((path,), allow_pickle=allow_pickle)
    if found == "safetensors" or path.suffix == ".safetensors":
        return safetensors.read_header(path)
    if path.suffix == ".gguf":
        return gguf.read_header(path)  # names what is wrong: cut short, or another magic
    detail = "neither safetensors nor GGUF nor a PyTorch file; choose a file of weights"
    raise ModelFileError("E_MAGIC", detail, file=path, offset=0)


def _read_folder(folder: Path, *, allow_pickle: bool) -> Contents:
    indexes = sorted(folder.glob(f"*{INDEX_SUFFIX}"))
    if indexes:
        usual = {name.replace(".safetensors", INDEX_SUFFIX) for name in USUAL}
        named = [index for index in indexes if index.name in usual]
        return read_index(_only(named or indexes, folder))
    for pattern in ("*.safetensors", "*.gguf"):
        candidates = _candidates(folder, pattern)
        if candidates:
            file = _only(candidates, folder)
            check_inside(file, folder)
            return _read_file(file, allow_pickle=allow_pickle)
    found = pickles.find_pickles(folder)
    if found:
        for file in found:
            check_inside(file, folder)
        return pickles.read_pickles(found, allow_pickle=allow_pickle)
    detail = "holds no weights (.safetensors, .gguf or .bin); fetch them, or name another folder"
    raise NotFoundError(f"{folder}: {detail}")


def _candidates(folder: Path, pattern: str) -> list[Path]:
    """Files of weights, a split file by its first part; the usual name before others."""
    files = sorted(f for f in folder.glob(pattern) if not f.name.startswith("adapter_model"))
    shards = [file for file in files if file.suffix == ".safetensors" and _part(file)]
    if shards:
        detail = f"is one of several shards without their index; fetch model{INDEX_SUFFIX}"
        raise ModelFileError("E_MISMATCH", detail, file=shards[0])
    files = [file for file in files if _part(file) in (0, 1)]
    return next(([file] for name in USUAL for file in files if file.name == name), files)


def _part(file: Path) -> int:
    """The number of a part in its name, or 0."""
    match = _PART.fullmatch(file.name)
    return int(match["part"]) if match else 0


def _only(files: list[Path], folder: Path) -> Path:
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        detail = f"holds {len(files)} checkpoints ({names}); name the file that you want"
        raise NotFoundError(f"{folder}: {detail}")
    return files[0]
