"""How numbers are stored: the table of every encoding, light enough for planning.

Sizes come from the safetensors and ggml formats. The decoders need torch and are imported when
the first tensor is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from fathom.errors import ModelFileError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = ["ENCODINGS", "Encoding", "encoding"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to store numbers, in blocks of `block_elements` that take `block_bytes`.

    `native` is the name of the torch type that holds the bytes as they are, where there is one.
    Otherwise `decoder` is the module of this package whose ``DECODERS`` turns blocks into float32.
    With neither, the size is known and the values cannot be read.
    """

    name: str
    block_elements: int
    block_bytes: int
    native: str | None = None
    decoder: str | None = None

    @property
    def bits(self) -> float:
        """Stored bits per element, scales included."""
        return 8 * self.block_bytes / self.block_elements

    def size(self, shape: Sequence[int]) -> int:
        """Bytes that a tensor of `shape` takes; ``E_SHAPE`` if it ends inside a block."""
        elements = prod(shape)
        if elements % self.block_elements:
            detail = (
                f"shape {list(shape)} is not a multiple of the {self.block_elements} elements "
                f"in a block of {self.name}"
            )
            raise ModelFileError("E_SHAPE", detail)
        return elements // self.block_elements * self.block_bytes

    def decode(self, raw: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Turn stored bytes into float32.

        Args:
            raw: (bytes,) uint8 on any device, exactly `size(shape)` long.
            shape: row-major shape of the result.
        """
        if raw.numel() != self.size(shape):
            detail = f"{raw.numel():,} bytes for {list(shape)} {self.name}: {self.size(shape):,}"
            raise ModelFileError("E_MISMATCH", detail)
        if self.native is not None:
            from fathom.checkpoint.encodings.native import view  # imports torch

            return view(raw, self.native).float().reshape(*shape)
        if self.decoder is None:
            readable = "torch has no type for it; publish or convert the checkpoint as BF16"
            raise ModelFileError("E_DTYPE", f"{self.name} cannot be read: {readable}")
        module = import_module(f"{__name__}.{self.decoder}")
        decoders = cast("Mapping[str, Callable[[torch.Tensor], torch.Tensor]]", module.DECODERS)
        return decoders[self.name](raw.reshape(-1, self.block_bytes)).reshape(*shape)


_ALL = (
    # Plain numbers: (name, elements, bytes, torch type). The names are those of safetensors.
    Encoding("F64", 1, 8, "float64"),
    Encoding("F32", 1, 4, "float32"),
    Encoding("F16", 1, 2, "float16"),
    Encoding("BF16", 1, 2, "bfloat16"),
    Encoding("F8_E4M3", 1, 1, "float8_e4m3fn"),
    Encoding("F8_E5M2", 1, 1, "float8_e5m2"),
    Encoding("F8_E4M3FNUZ", 1, 1, "float8_e4m3fnuz"),
    Encoding("F8_E5M2FNUZ", 1, 1, "float8_e5m2fnuz"),
    Encoding("F8_E8M0", 1, 1, "float8_e8m0fnu"),
    Encoding("I64", 1, 8, "int64"),
    Encoding("I32", 1, 4, "int32"),
    Encoding("I16", 1, 2, "int16"),
    Encoding("I8", 1, 1, "int8"),
    Encoding("U64", 1, 8, "uint64"),
    Encoding("U32", 1, 4, "uint32"),
    Encoding("U16", 1, 2, "uint16"),
    Encoding("U8", 1, 1, "uint8"),
    Encoding("BOOL", 1, 1, "bool"),
    Encoding("C64", 1, 8, "complex64"),
    # Sub-byte numbers of safetensors. torch holds F4 only in pairs, which would change the shape.
    Encoding("F4", 2, 1, decoder="four_bit"),
    Encoding("F6_E2M3", 4, 3),
    Encoding("F6_E3M2", 4, 3),
    # ggml: one scale, and perhaps one minimum, for a short run of small integers.
    Encoding("Q1_0", 128, 18, decoder="scaled"),
    Encoding("Q4_0", 32, 18, decoder="scaled"),
    Encoding("Q4_1", 32, 20, decoder="scaled"),
    Encoding("Q5_0", 32, 22, decoder="scaled"),
    Encoding("Q5_1", 32, 24, decoder="scaled"),
    Encoding("Q8_0", 32, 34, decoder="scaled"),
    # ggml: 256 integers whose scales are themselves quantised.
    Encoding("Q2_K", 256, 84, decoder="super_blocks"),
    Encoding("Q3_K", 256, 110, decoder="super_blocks"),
    Encoding("Q4_K", 256, 144, decoder="super_blocks"),
    Encoding("Q5_K", 256, 176, decoder="super_blocks"),
    Encoding("Q6_K", 256, 210, decoder="super_blocks"),
    Encoding("Q8_K", 256, 292, decoder="super_blocks"),
    # ggml: indices into a published codebook of points.
    Encoding("IQ1_S", 256, 50, decoder="codebooks"),
    Encoding("IQ1_M", 256, 56, decoder="codebooks"),
    Encoding("IQ2_XXS", 256, 66, decoder="codebooks"),
    Encoding("IQ2_XS", 256, 74, decoder="codebooks"),
    Encoding("IQ2_S", 256, 82, decoder="codebooks"),
    Encoding("IQ3_XXS", 256, 98, decoder="codebooks"),
    Encoding("IQ3_S", 256, 110, decoder="codebooks"),
    # ggml: four bits that choose one of sixteen fixed values.
    Encoding("IQ4_NL", 32, 18, decoder="four_bit"),
    Encoding("IQ4_XS", 256, 136, decoder="four_bit"),
    Encoding("MXFP4", 32, 17, decoder="four_bit"),
    Encoding("NVFP4", 64, 36, decoder="four_bit"),
    # ggml: three values per element.
    Encoding("TQ1_0", 256, 54, decoder="ternary"),
    Encoding("TQ2_0", 256, 66, decoder="ternary"),
)

ENCODINGS: Mapping[str, Encoding] = MappingProxyType({item.name: item for item in _ALL})
"""Every encoding by name."""


def encoding(name: str) -> Encoding:
    """Return the encoding of that name, or raise ``E_DTYPE`` with the nearest known ones."""
    try:
        return ENCODINGS[name]
    except KeyError:
        detail = f"unknown encoding {name[:80]!r}.{nearest(name, ENCODINGS)}"
        raise ModelFileError("E_DTYPE", detail) from None
