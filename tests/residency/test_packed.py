"""Rounding on the way into packed weights."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fathom.residency.packed import _rounded


@settings(deadline=None)  # the first comparison of a process imports for most of a second
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
@example(bits=[0x7F800001, 0xFF800000, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x00000001])
def test_rounding_is_to_the_nearest_bfloat16(bits: list[int]) -> None:
    """As PyTorch rounds, for every pattern of bits; not a number stays one, whichever it is."""
    source = np.asarray(bits, dtype=np.uint32)
    found = torch.from_numpy(_rounded(source.view(np.uint8)).view(np.int16)).view(torch.bfloat16)
    expected = torch.from_numpy(source.view(np.float32)).bfloat16()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
