"""What a checkpoint holds, known from its headers alone: no tensor is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file.

    `shape` is row-major, outermost dimension first, as PyTorch prints it (GGUF stores the
    reverse). `encoding` is a key of `encodings.ENCODINGS`, such as ``BF16`` or ``Q4_K``.
    `offset` counts bytes from the start of `file`; `size` is the stored length in bytes. Where
    `scales` lie in another tensor, `checkpoint/scaled.py` says what the two together mean.
    """

    name: str
    encoding: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    size: int
    scales: Scales | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def stored(self) -> int:
        """Stored bytes, those of its scales included."""
        return self.size + (self.scales.tensor.size if self.scales else 0)


@dataclass(frozen=True, slots=True)
class Scales:
    """Factors of a tensor's values that are stored apart: one per `block` of rows × columns."""

    tensor: TensorInfo
    block: tuple[int, int]


@dataclass(frozen=True)
class Contents:
    """The headers of all files of one checkpoint, joined.

    `metadata` holds the GGUF keys, or the ``__metadata__`` of safetensors files.
    """

    format: str  # "safetensors", "gguf" or "pickle"
    files: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Stored bytes of all tensors."""
        return sum(tensor.stored for tensor in self.tensors.values())
