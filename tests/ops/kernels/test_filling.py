"""Matrices filled from files, against the same rows packed from memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fathom.ops.native import native
from waiting import LONGEST

NATIVE = native()
if isinstance(NATIVE, str):
    pytest.skip(NATIVE, allow_module_level=True)  # the sentence says why there are no kernels here

COLUMNS = 256  # of which every encoding has whole blocks
PLAIN = ("F32", "F16", "BF16")
# What rows of an encoding become: the same, fewer bits, or integers that share a scale.
PAIRS = [
    *((name, name) for name in NATIVE.encodings()),
    ("F32", "BF16"),
    *((plain, integers) for plain in PLAIN for integers in ("Q8_0", "Q4_0")),
]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def filled(matrix: object, *jobs: tuple[object, ...], threads: int = 2) -> object:
    """Fill a matrix and return what is said at the end."""
    filling = NATIVE.Filling(threads)
    for job in jobs:
        filling.add(matrix, *job)
    assert filling.wait(LONGEST)
    filling.stop()
    return filling


def numbers(name: str, rows: int) -> np.ndarray:
    """Rows of an encoding, (rows, bytes): of plain ones numbers, else any bits."""
    random = np.random.default_rng(5)
    if name in PLAIN:
        dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[name]
        values = torch.from_numpy(random.standard_normal((rows, COLUMNS), dtype=np.float32))
        return values.to(dtype).view(torch.uint8).numpy()
    size = NATIVE.source_row_bytes(name, COLUMNS)
    return random.integers(0, 256, (rows, size), dtype=np.uint8)


@pytest.mark.parametrize(("stored", "kept"), PAIRS)
def test_rows_become_what_they_become_in_memory(stored: str, kept: str, tmp_path: Path) -> None:
    """A file of a few pieces, that begins within a page, in two parts whose panels meet."""
    rows = 2 * (256 << 10) // NATIVE.source_row_bytes(stored, COLUMNS) + 21
    source = numbers(stored, rows)
    (tmp_path / "rows").write_bytes(b"head" + source.tobytes())
    first = rows // 2
    found, expected = (NATIVE.PackedMatrix(kept, rows, COLUMNS) for _ in range(2))
    if stored == kept:
        expected.pack(source.reshape(-1))
    else:
        expected.pack_plain(stored, source.reshape(-1))
    with opened(tmp_path / "rows") as descriptor:
        parts = [(0, np.arange(first)), (first, np.arange(first, rows))]
        filling = filled(found, *((stored, descriptor, 4, own, at) for at, own in parts))
    assert filling.failed is None
    assert filling.done == source.nbytes
    assert np.array_equal(found.memory, expected.memory)


@settings(deadline=None)
@given(
    rows=st.lists(st.integers(0, 63), min_size=1, max_size=80),
    threads=st.integers(1, 3),
)
@example(rows=[*range(32, 64), *range(32)], threads=2)  # close to each other, and turned about
@example(rows=[0, 63], threads=1)  # far from each other
@example(rows=[0, 0, 2], threads=1)  # in order, as many as lie between, and not all of those
def test_rows_come_in_the_order_asked(
    rows: list[int], threads: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = numbers("Q8_0", 64)
    path = tmp_path_factory.getbasetemp() / "rows"
    path.write_bytes(source.tobytes())
    found, expected = (NATIVE.PackedMatrix("Q8_0", len(rows), COLUMNS) for _ in range(2))
    expected.pack(source[rows].reshape(-1))
    with opened(path) as descriptor:
        filled(found, ("Q8_0", descriptor, 0, np.array(rows), 0), threads=threads)
    assert np.array_equal(found.memory, expected.memory)


def test_which_file_could_not_be_read_is_told(tmp_path: Path) -> None:
    source = numbers("Q8_0", 32)
    whole, short = tmp_path / "whole", tmp_path / "short"
    whole.write_bytes(source.tobytes())
    short.write_bytes(source.tobytes()[:-1])
    rows = np.arange(32)
    matrix = NATIVE.PackedMatrix("Q8_0", 64, COLUMNS)
    with opened(whole) as one, opened(short) as other:
        jobs = [("Q8_0", one, 0, rows, 0), ("Q8_0", other, 0, rows, 32)]
        assert filled(matrix, *jobs, threads=1).failed == (1, 0)
        assert filled(matrix, jobs[0]).failed is None  # the twin
    with opened(tmp_path) as folder:
        failed = filled(matrix, ("Q8_0", folder, 0, rows, 0)).failed
    assert failed == (0, errno.EISDIR)


@settings(deadline=None)
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
@example(bits=[0x7F800001, 0xFF800000, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x00000001])
def test_rounding_is_to_the_nearest_bfloat16(bits: list[int]) -> None:
    """As PyTorch rounds, for every pattern of bits; not a number stays one, whichever it is."""
    source = np.asarray(bits, dtype=np.uint32)
    matrix = NATIVE.PackedMatrix("BF16", 1, len(bits))
    matrix.pack_plain("F32", source.view(np.uint8))
    found = np.empty((1, len(bits)), dtype=np.float32)
    matrix.unpack(found)
    expected = torch.from_numpy(source.view(np.float32)).bfloat16().float()
    torch.testing.assert_close(torch.from_numpy(found[0]), expected, rtol=0, atol=0, equal_nan=True)


ROWS = np.arange(2)
REFUSED = {
    "rows beyond the matrix": ("Q8_0", 0, ROWS, 1),
    "rows before the matrix": ("Q8_0", 0, ROWS, -1),
    "rows before the file": ("Q8_0", 0, np.array([0, -1]), 0),
    "blocks as other blocks": ("Q4_0", 0, ROWS, 0),
    "an encoding without kernels": ("IQ1_S", 0, ROWS, 0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_filled_is_refused(what: str, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(bytes(1024))
    matrix = NATIVE.PackedMatrix("Q8_0", 2, COLUMNS)
    name, offset, rows, first = REFUSED[what]
    with opened(tmp_path / "rows") as descriptor:
        with pytest.raises(ValueError):
            filled(matrix, (name, descriptor, offset, rows, first))
        assert filled(matrix, ("Q8_0", descriptor, 0, ROWS, 0)).failed is None  # the twin


def test_what_was_not_begun_is_left_out(tmp_path: Path) -> None:
    """Files may be closed once it was stopped: nobody reads them any more."""
    source = numbers("Q8_0", 4096)
    (tmp_path / "rows").write_bytes(source.tobytes())
    matrix = NATIVE.PackedMatrix("Q8_0", 4096, COLUMNS)
    with opened(tmp_path / "rows") as descriptor:
        filling = NATIVE.Filling(1)
        filling.add(matrix, "Q8_0", descriptor, 0, np.arange(4096))
        filling.stop()
        done = filling.done
    assert filling.wait(0)
    assert filling.done == done
    assert filling.failed is None
