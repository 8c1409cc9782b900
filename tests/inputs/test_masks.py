"""Masks as COCO writes them, by COCO's own tools, and over a picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from fathom.errors import PictureError
from fathom.inputs.masks import from_run_lengths, overlaid, packed, run_lengths


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    seed, share = draw(st.integers(0, 99)), draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    return np.random.default_rng(seed).random((height, width)) < share


@given(mask=masks())
def test_runs_are_cocos(mask: np.ndarray) -> None:
    lengths = run_lengths(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert packed(lengths).encode() == theirs["counts"]
    assert np.array_equal(from_run_lengths(lengths, *mask.shape), mask)


def test_long_runs_are_cocos_too() -> None:
    mask = np.zeros((700, 900), dtype=bool)
    mask[100:650, 37:888] = True
    mask[300:310, 500:] = False
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert packed(run_lengths(mask)).encode() == theirs["counts"]


@pytest.mark.parametrize("lengths", [[3], [5, 5], [-1, 5], [1, 2, 2]])
def test_runs_that_are_no_mask_are_refused(lengths: list[int]) -> None:
    assert from_run_lengths([1, 2, 1], 2, 2).sum() == 2
    with pytest.raises(PictureError, match="runs"):
        from_run_lengths(lengths, 2, 2)


def test_masks_lie_over_the_picture_the_first_on_top() -> None:
    picture = np.full((9, 9, 3), 100, np.uint8)
    first, second = np.zeros((2, 9, 9), dtype=bool)
    first[1:6, 1:6], second[3:8, 3:8] = True, True
    shown = overlaid(picture, [first, second])
    assert (shown[0] == 100).all() and (picture == 100).all()
    alone = overlaid(picture, [first])
    assert np.array_equal(shown[2, 2], alone[2, 2]) and np.array_equal(shown[1, 3], alone[1, 3])
    assert not np.array_equal(shown[6, 6], shown[2, 2])
    assert not np.array_equal(shown[1, 1], shown[2, 2])  # the edge is drawn stronger
