"""The child process that reads one pickle: ``python -m fathom.checkpoint.pickle_child``.

Arguments: the pickle, the safetensors file to write, the most bytes to write, the most seconds
to compute. On failure it prints ``{"code": …, "detail": …}`` and ends with status 1.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from fathom.checkpoint.safetensors_writer import write_stream
from fathom.checkpoint.unpickling import Source, read_state
from fathom.confinement import ConfinedError, confine
from fathom.errors import ModelFileError

_HEADER = 100_000_000  # bytes, which a header may take beside the tensors
_ROOM = 1 << 30  # bytes of address space for the program itself
_NESTED = ("state_dict", "model", "module")


def main(arguments: list[str]) -> int:
    source, target = Path(arguments[0]), Path(arguments[1])
    most_bytes, most_seconds = int(arguments[2]), int(arguments[3])
    write_stream(io.BytesIO(), {"a": torch.zeros(2)})  # whatever that loads, it has now
    try:
        bytes_of_source = Source(source)
        with target.open("wb") as stream:
            confine(most_bytes + _ROOM, write=most_bytes + _HEADER, seconds=most_seconds)
            write_stream(stream, load(bytes_of_source, most_bytes))
    except Exception as error:  # noqa: BLE001  whatever a hostile pickle provokes is its fault
        code, detail = fault(error)
        print(json.dumps({"code": code, "detail": detail}))  # noqa: T201
        return 1
    return 0


def fault(error: Exception) -> tuple[str, str]:
    """Name what a pickle did wrong, by what it provoked."""
    told = (str(error).splitlines() or [type(error).__name__])[0][:200]
    match error:
        case ModelFileError():
            return error.code, error.detail
        case ConfinedError():
            return "E_UNSAFE_CODE", told
        case RecursionError():
            return "E_DEPTH", "its program is nested too deeply"
        case EOFError() | pickle.UnpicklingError():
            return "E_TRUNCATED", told
        case OSError() | MemoryError():
            return "E_LIMIT", told
        case ValueError() if "unsupported pickle protocol" in told:
            return "E_VERSION", told
    return "E_HEADER_SYNTAX", f"{type(error).__name__}: {told}"


def load(source: Source, most_bytes: int) -> dict[str, torch.Tensor]:
    """The named tensors of a pickle, of no more than so many bytes in all."""
    tensors = _tensors(read_state(source))
    if not tensors:
        raise ModelFileError("E_MISMATCH", "holds no named tensors")
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > most_bytes:  # a stride of zero makes much of little
        raise ModelFileError("E_LIMIT", f"its tensors take {total:,} bytes, far more than the file")
    return tensors


def _tensors(loaded: object) -> dict[str, torch.Tensor]:
    """The named tensors of a state dict, or of the one inside a training checkpoint."""
    if not isinstance(loaded, Mapping):
        return {}
    found = {
        name: value
        for name, value in loaded.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    inner = (loaded[key] for key in _NESTED if isinstance(loaded.get(key), Mapping))
    return found or next((tensors for value in inner if (tensors := _tensors(value))), {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
