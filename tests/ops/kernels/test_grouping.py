"""Plain numbers rounded to groups of integers, beside what the gguf package makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ops.native import native
from fathom.planning.grouping import GROUPS

NATIVE = native()
if isinstance(NATIVE, str):
    pytest.skip(NATIVE, allow_module_level=True)

ENCODINGS = sorted({encoding for roles in GROUPS.values() for encoding in roles.values()})
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
BLOCK = 32


def grouped(encoding: str, source: torch.Tensor, first_row: int = 0) -> np.ndarray:
    """Round rows, (rows, columns), below `first_row` rows of zeros; return them as numbers."""
    rows, columns = source.shape
    matrix = NATIVE.PackedMatrix(encoding, first_row + rows, columns)
    plain = next(name for name, dtype in PLAIN.items() if dtype == source.dtype)
    matrix.pack_plain(plain, source.reshape(-1).view(torch.uint8).numpy(), first_row)
    values = np.empty((first_row + rows, columns), np.float32)
    matrix.unpack(values)
    assert not values[:first_row].any()
    return values[first_row:]


def blocks(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float64).reshape(-1, BLOCK)


def allowed_squares(encoding: str, numbers: np.ndarray) -> np.ndarray:
    """The sum of squares that each block may be off by.

    Of eight bits half a step everywhere, and what the scale loses as a float16; of four bits what
    the gguf package leaves, whose scales are rounded by as much as ours.
    """
    if encoding == "Q8_0":
        largest = np.abs(blocks(numbers)).max(axis=1)
        return BLOCK * (largest / 254 + largest * 2.0**-11 + 127 * 2.0**-25) ** 2
    kind = GGMLQuantizationType[encoding]
    theirs = blocks(dequantize(quantize(numbers, kind), kind) - numbers)
    size = np.square(blocks(numbers)).sum(axis=1)
    return 1.02 * np.square(theirs).sum(axis=1) + 1e-6 * size + BLOCK * (8 * 2.0**-25) ** 2


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from(ENCODINGS),
    plain=st.sampled_from(sorted(PLAIN)),
    shape=st.tuples(st.sampled_from([0, 1, 3, 16, 37]), st.sampled_from([1, 2, 5])),
    size=st.sampled_from([1e-3, 0.02, 1.0, 50.0]),
    outlier=st.sampled_from([0.0, 8.0]),
    first_row=st.sampled_from([0, 5]),
)
def test_every_block_is_near_its_numbers(
    encoding: str,
    plain: str,
    shape: tuple[int, int],
    size: float,
    outlier: float,
    first_row: int,
) -> None:
    rows, columns = shape[0], shape[1] * BLOCK
    drawn = np.random.default_rng(rows + columns).standard_normal((rows, columns)) * size
    drawn[:, ::BLOCK] += outlier * size
    source = torch.from_numpy(drawn).to(PLAIN[plain])
    numbers = source.float().numpy()
    error = blocks(grouped(encoding, source, first_row) - numbers)
    if not rows:
        return
    assert (np.square(error).sum(axis=1) <= allowed_squares(encoding, numbers)).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_breaks_its_own_row(encoding: str, bad: float) -> None:
    source = torch.randn(20, 3 * BLOCK, generator=torch.Generator().manual_seed(1))
    sound = grouped(encoding, source)
    source[6, 40] = bad
    values = grouped(encoding, source)
    assert not np.isfinite(values[6, BLOCK : 2 * BLOCK]).any()
    values[6, BLOCK : 2 * BLOCK] = sound[6, BLOCK : 2 * BLOCK]
    assert np.array_equal(values, sound)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-30, 1e-9, 1e-6])
def test_numbers_below_any_scale_become_nothing(encoding: str, size: float) -> None:
    """A scale is no smaller than 2⁻²⁴; what is lost is less than that of the greatest integer."""
    source = torch.randn(4, BLOCK, generator=torch.Generator().manual_seed(2)) * size
    assert np.abs(grouped(encoding, source) - source.numpy()).max() <= 127 * 2.0**-24


REFUSED = {
    "from blocks": lambda: NATIVE.PackedMatrix("Q8_0", 1, 32).pack_plain("Q4_0", _zeros(18)),
    "to plain numbers": lambda: NATIVE.PackedMatrix("F16", 1, 32).pack_plain("F32", _zeros(128)),
    "from half of them": lambda: NATIVE.PackedMatrix("BF16", 1, 32).pack_plain("F16", _zeros(64)),
    "half a row": lambda: NATIVE.PackedMatrix("Q8_0", 1, 32).pack_plain("F32", _zeros(64)),
    "a row too many": lambda: NATIVE.PackedMatrix("Q8_0", 1, 32).pack_plain("F32", _zeros(256)),
}


def _zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.uint8)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_grouped_is_refused(what: str) -> None:
    with pytest.raises(ValueError):
        REFUSED[what]()
    NATIVE.PackedMatrix("Q8_0", 1, 32).pack_plain("F32", _zeros(128))  # the twins
    NATIVE.PackedMatrix("BF16", 1, 32).pack_plain("F32", _zeros(128))
