"""The child process that reads one pickle: ``python -m fathom.checkpoint.pickle_child``.

Arguments: the pickle, the safetensors file to write, the most bytes to write, the most seconds
to compute. On failure it prints ``{"code": …, "detail": …}`` and ends with status 1.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.errors import ModelFileError

# Audit events that reading tensors never raises: https://docs.python.org/3/library/audit_events
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_NESTED = ("state_dict", "model", "module")


def main(arguments: list[str]) -> int:
    source, target = Path(arguments[0]), Path(arguments[1])
    most_bytes, most_seconds = int(arguments[2]), int(arguments[3])
    _restrict(most_bytes, most_seconds)
    try:
        tensors = _load(source, most_bytes)
        write_safetensors(target, tensors)
    except ModelFileError as error:
        return _fail(error.code, str(error).removesuffix(f" [{error.code}]"))
    except pickle.UnpicklingError as error:
        unsafe = "weights only" in str(error).lower()
        return _fail("E_UNSAFE_CODE" if unsafe else "E_HEADER_SYNTAX", _first_line(error))
    except EOFError as error:
        return _fail("E_TRUNCATED", _first_line(error))
    except OSError as error:
        return _fail("E_LIMIT", _first_line(error))
    except Exception as error:  # noqa: BLE001  whatever a hostile pickle provokes is its fault
        return _fail("E_HEADER_SYNTAX", f"{type(error).__name__}: {_first_line(error)}")
    return 0


def _restrict(most_bytes: int, most_seconds: int) -> None:
    """Limit disk and time, and forbid programs and sockets, for the rest of this process."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds))
        headers = 100_000_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes + headers, most_bytes + headers))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def refuse(event: str, _: tuple[object, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise ModelFileError("E_UNSAFE_CODE", f"reading it caused {event}")

    sys.addaudithook(refuse)


def _load(source: Path, most_bytes: int) -> dict[str, torch.Tensor]:
    loaded = torch.load(source, map_location="cpu", weights_only=True)
    tensors = _tensors(loaded)
    if not tensors:
        raise ModelFileError("E_MISMATCH", "holds no named tensors")
    total = 0
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise ModelFileError("E_DTYPE", f"{name} is sparse or quantised")
        total += tensor.numel() * tensor.element_size()
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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _fail(code: str, detail: str) -> int:
    print(json.dumps({"code": code, "detail": detail}))  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
