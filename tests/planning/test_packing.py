"""Packed bytes as planned, against those of the compiled kernels."""

from __future__ import annotations

import pytest

from fathom.errors import RequestError
from fathom.ops.native import native
from fathom.planning.packing import LAYOUTS, PLAIN, packed_bytes

module = native()
compiled = pytest.mark.skipif(isinstance(module, str), reason=str(module))


@compiled
def test_every_encoding_of_the_kernels_is_stated() -> None:
    assert list(LAYOUTS) == module.encodings()


@compiled
@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 576, 49_152])
@pytest.mark.parametrize("encoding", LAYOUTS)
def test_packed_bytes_are_those_of_the_kernels(encoding: str, rows: int) -> None:
    for blocks in (1, 2, 3, 5, 9, 16):
        columns = LAYOUTS[encoding].scale_columns * blocks
        odd = (columns, columns - 1, columns + 7) if encoding in PLAIN else (columns,)
        for each in odd:
            assert packed_bytes(encoding, rows, each) == module.packed_bytes(encoding, rows, each)


def test_columns_end_with_a_block() -> None:
    assert packed_bytes("Q4_0", 16, 64) > 0
    with pytest.raises(RequestError, match="blocks of 32"):
        packed_bytes("Q4_0", 16, 65)
    with pytest.raises(RequestError, match="take F32"):
        packed_bytes("IQ2_XS", 16, 256)
