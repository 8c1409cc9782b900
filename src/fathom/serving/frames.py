"""What a server and its workers say to each other: MessagePack behind its length, no code in it.

    4 bytes length | [ask number, kind, content]

Types of the seam go over as their fields and are made again by pydantic, so that what a broken
worker says is refused as a stranger's would be.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgpack
from pydantic import TypeAdapter

from fathom import errors
from fathom.errors import AnswerLostError, FathomError
from fathom.serving.service import (
    Called,
    ChatAsk,
    Echoed,
    Ended,
    Ranking,
    TextAsk,
    Vectors,
    Written,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LENGTH = struct.Struct("<I")
LARGEST = 1 << 29  # bytes of a frame: pictures and vectors of one ask are far below
# What goes over by its fields: kind → type.
TYPES: Mapping[str, type] = {
    "chat": ChatAsk,
    "write": TextAsk,
    "count": ChatAsk,
    "echoed": Echoed,
    "written": Written,
    "called": Called,
    "ended": Ended,
    "ranking": Ranking,
}
KINDS: Mapping[type, str] = {
    kind: name for name, kind in TYPES.items() if name not in ("count", "chat")
} | {ChatAsk: "chat"}
Content: TypeAlias = object


@dataclass(frozen=True)
class Frame:
    """One message; `number` is that of the ask that it is about, 0 for none."""

    number: int
    kind: str
    content: Content = None


def packed(frame: Frame) -> bytes:
    """Return a frame as bytes."""
    content = frame.content
    if frame.kind in TYPES:
        content = _adapter(frame.kind).dump_python(content)
    elif isinstance(content, Vectors):
        content = [list(content.vectors.shape), content.vectors.tobytes(), content.tokens]
    elif isinstance(content, Exception):
        content = _error_fields(content)
    body: bytes = msgpack.packb([frame.number, frame.kind, content], default=_plain)
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> Frame:
    """Return the frame of bytes behind their length.

    Raises:
        ValueError: for bytes that are none.
    """
    number, kind, content = msgpack.unpackb(body, strict_map_key=False)
    if kind in TYPES:
        content = _adapter(kind).validate_python(content)
    elif kind == "vectors":
        content = _vectors(*content)
    elif kind == "error":
        content = _error(content)
    return Frame(number, kind, content)


@cache
def _adapter(kind: str) -> TypeAdapter[object]:
    return TypeAdapter(TYPES[kind])


def _plain(value: object) -> object:
    """Return what is handed on in options and messages and is no plain type as one."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent to a worker")


def _vectors(shape: list[int], numbers: bytes, tokens: int) -> Vectors:
    import numpy as np

    found: NDArray[np.float32] = np.frombuffer(numbers, dtype=np.float32).reshape(shape)
    return Vectors(found, tokens)


def _error_fields(error: Exception) -> dict[str, object]:
    """Return an error by its name and words; of a bug only that there was one."""
    if not isinstance(error, FathomError):
        lost = f"a fault of the server ended this ({type(error).__name__}); asking again may help"
        return {"type": AnswerLostError.__name__, "message": lost}
    plain = {key: value for key, value in vars(error).items() if isinstance(value, str | float)}
    return {"type": type(error).__name__, "message": str(error), **plain}


def _error(fields: Mapping[str, object]) -> FathomError:
    kind = getattr(errors, str(fields.get("type")), None)
    if not (isinstance(kind, type) and issubclass(kind, FathomError)):
        kind = FathomError
    error = kind.__new__(kind)
    Exception.__init__(error, str(fields.get("message", "")))
    vars(error).update({key: fields[key] for key in fields.keys() - {"type", "message"}})
    return error
