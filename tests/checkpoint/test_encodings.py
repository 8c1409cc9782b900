"""Every encoding of the table against an independent implementation, bit for bit."""

import struct

import gguf
import numpy as np
import pytest
import torch

from fathom.checkpoint.encodings import ENCODINGS, encoding
from fathom.checkpoint.encodings.grids import points
from fathom.errors import ModelFileError

GGML = [name for name in ENCODINGS if name in gguf.GGMLQuantizationType.__members__]
IN_GGUF_QUANTS = [
    name
    for name in GGML
    if name in ("F32", "F16")
    or gguf.GGMLQuantizationType[name] in gguf.quants._type_traits  # its only list of decoders
]
NUMPY = {
    "F64": "<f8",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
}
UNREADABLE = {"F6_E2M3", "F6_E3M2"}


def _small_float(byte: int, exponent_bits: int, mantissa_bits: int, bias: int) -> float:
    """A sign, exponent and mantissa without infinities, by the definition of IEEE 754."""
    mantissa = byte & (2**mantissa_bits - 1)
    exponent = byte >> mantissa_bits & (2**exponent_bits - 1)
    sign = -1.0 if byte >> (exponent_bits + mantissa_bits) & 1 else 1.0
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (2**mantissa_bits + mantissa) * 2.0 ** (exponent - bias - mantissa_bits)


def _f8_e4m3(byte: int) -> float:
    return float("nan") if byte & 0x7F == 0x7F else _small_float(byte, 4, 3, 7)


def _f8_e5m2(byte: int) -> float:
    if byte & 0x7C == 0x7C:
        sign = -1.0 if byte & 0x80 else 1.0
        return float("nan") if byte & 3 else sign * float("inf")
    return _small_float(byte, 5, 2, 15)


def _fnuz(byte: int, exponent_bits: int, mantissa_bits: int, bias: int) -> float:
    if byte == 0x80:
        return float("nan")
    return _small_float(byte, exponent_bits, mantissa_bits, bias)


BY_BYTE = {
    "F8_E4M3": _f8_e4m3,
    "F8_E5M2": _f8_e5m2,
    "F8_E4M3FNUZ": lambda byte: _fnuz(byte, 4, 3, 8),
    "F8_E5M2FNUZ": lambda byte: _fnuz(byte, 5, 2, 16),
    "F8_E8M0": lambda byte: float("nan") if byte == 255 else 2.0 ** (byte - 127),
    "BOOL": lambda byte: float(byte != 0),
}


def _scalar_f4(raw: bytes) -> list[float]:
    return [_small_float(nibble, 2, 1, 1) for byte in raw for nibble in (byte & 15, byte >> 4)]


def _scalar_q1_0(raw: bytes) -> list[float]:
    values = []
    for start in range(0, len(raw), 18):
        (scale,) = struct.unpack_from("<e", raw, start)
        for element in range(128):
            bit = raw[start + 2 + element // 8] >> element % 8 & 1
            values.append(scale if bit else -scale)
    return values


def _scalar_q8_k(raw: bytes) -> list[float]:
    values: list[np.float32] = []
    for start in range(0, len(raw), 292):
        scale = np.frombuffer(raw, "<f4", 1, start)[0]
        values += [scale * np.float32(q) for q in np.frombuffer(raw, "i1", 256, start + 4)]
    return values


SCALAR = {"F4": _scalar_f4, "Q1_0": _scalar_q1_0, "Q8_K": _scalar_q8_k}


def reference(name: str, raw: np.ndarray) -> np.ndarray:
    """Decode with something other than our code; a new encoding without one fails here."""
    if name in IN_GGUF_QUANTS:
        return gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name])
    if name in NUMPY:
        return raw.view(NUMPY[name]).astype(np.float32)
    if name in BY_BYTE:
        return np.array([BY_BYTE[name](byte) for byte in raw.tolist()], np.float32)
    return np.array(SCALAR[name](raw.tobytes()), np.float32)


def bits(values: np.ndarray) -> np.ndarray:
    """Bit patterns, with all NaN alike."""
    return np.where(np.isnan(values), np.uint32(0x7FC00000), values.view(np.uint32))


READABLE = [name for name in ENCODINGS if name not in UNREADABLE and name != "C64"]


@pytest.mark.parametrize("blocks", [1, 257])
@pytest.mark.parametrize("name", READABLE)
def test_random_bytes_decode_as_the_reference_does(name: str, blocks: int) -> None:
    """Random bytes include infinite, NaN and subnormal scales."""
    kind = ENCODINGS[name]
    random = np.random.default_rng(len(name) + blocks)
    raw = random.integers(0, 256, blocks * kind.block_bytes, dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = reference(name, raw).reshape(-1)
    shape = (blocks, kind.block_elements)
    decoded = kind.decode(torch.from_numpy(raw), shape)
    assert decoded.dtype == torch.float32
    assert decoded.shape == shape
    np.testing.assert_array_equal(bits(decoded.numpy().reshape(-1)), bits(expected))


@pytest.mark.parametrize("name", READABLE)
def test_zero_bytes_and_all_ones_decode_as_the_reference_does(name: str) -> None:
    kind = ENCODINGS[name]
    for fill in (0, 255):
        raw = np.full(kind.block_bytes, fill, np.uint8)
        with np.errstate(all="ignore"):
            expected = reference(name, raw).reshape(-1)
        decoded = kind.decode(torch.from_numpy(raw), (kind.block_elements,))
        np.testing.assert_array_equal(bits(decoded.numpy()), bits(expected))


@pytest.mark.parametrize("name", [name for name in READABLE if ENCODINGS[name].decoder])
def test_the_default_type_of_torch_changes_nothing(name: str) -> None:
    kind = ENCODINGS[name]
    raw = torch.arange(kind.block_bytes * 3, dtype=torch.int64).mul(37).to(torch.uint8)
    expected = kind.decode(raw, (3 * kind.block_elements,))
    torch.set_default_dtype(torch.bfloat16)
    try:
        decoded = kind.decode(raw, (3 * kind.block_elements,))
    finally:
        torch.set_default_dtype(torch.float32)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded.view(torch.int32), expected.view(torch.int32))


def test_complex_numbers_stay_complex() -> None:
    from fathom.checkpoint.encodings.native import view

    numbers = np.array([1 + 2j, -3.5j], np.complex64)
    seen = view(torch.from_numpy(numbers.view(np.uint8).copy()), "complex64")
    np.testing.assert_array_equal(seen.numpy(), numbers)


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_torch_cannot_hold_has_a_size_and_a_clear_error(name: str) -> None:
    assert ENCODINGS[name].size((2, 4)) == 6
    with pytest.raises(ModelFileError, match=f"{name} cannot be read.*BF16"):
        ENCODINGS[name].decode(torch.zeros(3, dtype=torch.uint8), (4,))


@pytest.mark.parametrize("name", GGML)
def test_block_sizes_are_those_of_ggml(name: str) -> None:
    sizes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    assert (ENCODINGS[name].block_elements, ENCODINGS[name].block_bytes) == sizes


def test_every_stored_ggml_encoding_is_in_the_table() -> None:
    # Q8_1 holds activations while a dot product runs; no file stores it.
    assert set(gguf.GGMLQuantizationType.__members__) - set(ENCODINGS) == {"Q8_1"}


@pytest.mark.parametrize("name", ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"])
def test_codebooks_are_those_of_ggml(name: str) -> None:
    theirs = getattr(gguf.quants, name)
    theirs.init_grid()
    np.testing.assert_array_equal(points(name).numpy(), theirs.grid.reshape(theirs.grid_shape))


def test_a_shape_that_ends_inside_a_block_is_refused() -> None:
    assert ENCODINGS["Q4_0"].size((3, 64)) == 6 * 18
    with pytest.raises(ModelFileError, match="E_SHAPE"):
        ENCODINGS["Q4_0"].size((3, 31))


def test_the_wrong_number_of_bytes_is_refused() -> None:
    with pytest.raises(ModelFileError, match="E_MISMATCH"):
        ENCODINGS["Q4_0"].decode(torch.zeros(17, dtype=torch.uint8), (32,))


def test_an_unknown_name_lists_the_nearest() -> None:
    assert encoding("Q4_K").bits == 4.5
    with pytest.raises(ModelFileError, match=r"Q4_X.*Did you mean .*Q4_"):
        encoding("Q4_X")
