"""A checkpoint of tensors under its publisher's names, written anew as a safetensors folder.

No tensor is changed and no model is built, so that any architecture converts, known or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.progress import QUIET, Progress, log, working
from fathom.checkpoint.saving import copy_beside, write_weights
from fathom.checkpoint.storage import new_folder, replacing
from fathom.errors import ModelFileError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert"]

_CONFIGURATION = "config.json"


def convert(contents: Contents, folder: Path, target: Path, progress: Progress = QUIET) -> None:
    """Write the tensors of `contents`, and what lies beside them in `folder`, into `target`.

    The folder appears whole or not at all. A source that changes meanwhile is noticed, and what
    was written is read back before it appears.

    Raises:
        RequestError: `target` exists already.
        WriteError: the disk is full or cannot be written; nothing is left behind.
        ModelFileError: ``E_DTYPE`` for numbers that torch has no type for, ``E_MISMATCH`` where
            a source changed while it was read.
    """
    from fathom.checkpoint.tensors import Reader

    before = _stamps(contents)
    with (
        new_folder(target, contents.size) as partial,
        Reader(contents) as reader,
        working(progress, contents.size, f"converting {folder.name}"),
    ):
        tensors = {name: reader.outline(name) for name in contents.tensors}
        write_weights(partial, tensors, read=lambda name: _counted(reader.tensor(name), name))
        progress.advance(contents.size)
        if (folder / _CONFIGURATION).is_file():
            with replacing(partial / _CONFIGURATION) as stream:
                stream.write((folder / _CONFIGURATION).read_bytes())
        copy_beside(folder, partial)
        if _stamps(contents) != before:
            detail = "was changed while it was converted; convert it again"
            raise ModelFileError("E_MISMATCH", detail, file=contents.files[0])
        _verify(partial, tensors)


def _counted(tensor: Tensor, name: str) -> Tensor:
    """Tell of values that are not finite, which every format allows and no model can use."""
    if not (tensor.is_floating_point() and tensor.itemsize > 1):
        return tensor
    broken = tensor.numel() - int(tensor.isfinite().sum())
    if broken:
        log.warning("%s holds %s values that are not finite", name, f"{broken:,}")
    return tensor


def _stamps(contents: Contents) -> list[tuple[int, int]]:
    """Size and time of change of every source."""
    return [(stat.st_size, stat.st_mtime_ns) for stat in (f.stat() for f in contents.files)]


def _verify(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Read back the headers of what was written."""
    written = read_headers(folder).tensors
    shapes = {name: info.shape for name, info in written.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        detail = "what was written differs from what was read; is the disk sound?"
        raise ModelFileError("E_MISMATCH", detail, file=folder)
