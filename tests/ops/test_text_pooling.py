"""Pooling of single texts against pooling of padded batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fathom.ops.pooling import POOLINGS
from fathom.ops.text_pooling import TEXT_POOLINGS


def test_every_pooling_is_there() -> None:
    assert set(TEXT_POOLINGS) == set(POOLINGS)


@pytest.mark.parametrize("way", POOLINGS)
@pytest.mark.parametrize(("length", "skipped"), [(1, 0), (7, 0), (7, 3), (7, 6)])
def test_a_text_alone_is_pooled_as_in_a_batch(way: str, length: int, skipped: int) -> None:
    x = np.random.default_rng(2).standard_normal((length, 5)).astype(np.float32)
    positions = torch.arange(length)
    positions = torch.where(positions < skipped, -1, positions)[None]
    padded = torch.cat((torch.from_numpy(x)[None], torch.full((1, 2, 5), 9.0)), dim=1)
    expected = POOLINGS[way](padded, torch.cat((positions, torch.full((1, 2), -1)), dim=1))
    found = TEXT_POOLINGS[way](x[skipped:], skipped)
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-5, atol=1e-6)
