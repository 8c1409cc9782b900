"""Learned scores of distances as a table, against the definition and transformers' own buckets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from fathom.ops.distance import buckets
from fathom.programs.distance_table import Distances

SHAPES = [(32, 128), (8, 20), (16, 64), (32, 256), (64, 128), (4, 5), (20, 100)]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize(("count", "furthest"), SHAPES)
def test_places_are_the_buckets(count: int, furthest: int, both: bool) -> None:
    places = Distances("scores", count, furthest, 3, both).places()
    ahead = torch.arange(-furthest, furthest + 1)
    ours = buckets(ahead, count=count, furthest=furthest, both_directions=both)
    theirs = T5Attention._relative_position_bucket(ahead, both, count, furthest)
    np.testing.assert_array_equal(places, ours.numpy())
    np.testing.assert_array_equal(places, theirs.numpy())
    beyond = buckets(
        torch.tensor([-9 * furthest, 9 * furthest]),
        count=count,
        furthest=furthest,
        both_directions=both,
    )
    assert beyond.tolist() == [places[0], places[-1]]


def test_scores_lie_head_by_head() -> None:
    shape = Distances("scores", 4, 5, 2, False)
    scores = np.arange(8, dtype=np.float32)
    found = shape.expanded(scores)
    assert found.shape == (2, 11)
    np.testing.assert_array_equal(found[1], scores.reshape(4, 2)[shape.places(), 1])
