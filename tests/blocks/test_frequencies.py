"""Scaling laws where the reference library does not follow the publisher's own code."""

from __future__ import annotations

import numpy as np
import pytest

from fathom.blocks.frequencies import frequencies
from fathom.spec.positions import LongRopeScaling, Rotary

SHORT, LONG = (1.0, 1.5, 2.0, 3.0), (1.0, 4.0, 9.0, 16.0)


@pytest.mark.parametrize(
    ("total", "beyond", "factors", "attention"),
    [(32, 1.3, SHORT, 1.2), (33, 1.3, LONG, 1.3), (33, None, LONG, 1.2)],
)
def test_longrope_takes_the_list_and_the_factor_of_its_length(
    total: int, beyond: float | None, factors: tuple[float, ...], attention: float
) -> None:
    """As in Phi-3.5-MoE's own code: each list of factors comes with its own scale."""
    law = LongRopeScaling(SHORT, LONG, original=32, attention=1.2, attention_beyond=beyond)
    turns, scale = frequencies(Rotary(500.0, width=8, scaling=law), total)
    expected = [1 / (factor * 500.0 ** (2 * i / 8)) for i, factor in enumerate(factors)]
    assert np.allclose(turns, expected)
    assert scale == attention
