"""Processors against the reference's own, on photographs, over every kind that is known."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fathom.errors import ConfigError
from fathom.inputs.picture_processing import (
    USUAL,
    LongestEdge,
    ShortestEdge,
    centre_crop,
    read_processor,
)
from fathom.inputs.pictures import Picture
from photographs import photographs

# The reference's class, and variants of its configuration; the first is what it usually is.
REFERENCES: Mapping[str, tuple[str, tuple[dict[str, object], ...]]] = {
    "vit": (
        "ViTImageProcessorPil",
        ({}, {"size": 96}, {"do_normalize": False}, {"resample": 3, "image_mean": [0.1, 0.2, 0.3]}),
    ),
    "deit": ("DeiTImageProcessorPil", ({}, {"crop_size": 300}, {"do_center_crop": False})),
    "clip": (
        "CLIPImageProcessorPil",
        (
            {},
            {"size": 60, "crop_size": 61},
            {"size": {"shortest_edge": 70}, "crop_size": {"height": 90, "width": 40}},
            {"do_rescale": False, "do_normalize": False},
            {"do_resize": False},
            {"rescale_factor": 0.01},
        ),
    ),
    "bit": ("BitImageProcessorPil", ({}, {"size": {"shortest_edge": 256}})),
    "siglip": (
        "SiglipImageProcessorPil",
        ({}, {"size": {"height": 384, "width": 256}, "resample": 2}),
    ),
    "gemma3": ("Gemma3ImageProcessorPil", ({}, {"size": {"height": 96, "width": 96}})),
    "sam": (
        "SamImageProcessorPil",
        (
            {},
            {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}},
            {"do_pad": False, "size": {"longest_edge": 99}},
        ),
    ),
    "groundingdino": (
        "GroundingDinoImageProcessorPil",
        ({}, {"size": {"shortest_edge": 100, "longest_edge": 140}}),
    ),
}
CASES = [(kind, config) for kind, (_, configs) in REFERENCES.items() for config in configs]


def test_every_known_processor_has_a_reference() -> None:
    elsewhere = {"mllama"}  # whose tiles tests/parity/test_cross_vision.py holds to theirs
    assert set(REFERENCES) == set(USUAL) - elsewhere


@pytest.mark.parametrize(("kind", "config"), CASES, ids=lambda value: str(value)[:60])
def test_arrays_equal_the_reference(kind: str, config: dict[str, object]) -> None:
    theirs = getattr(transformers, REFERENCES[kind][0])(**config)
    stated = {**config, "image_processor_type": type(theirs).__name__}
    ours = read_processor(json.loads(json.dumps(stated)))
    saved = read_processor(json.loads(theirs.to_json_string()))
    for pixels in photographs().values():
        picture = Picture(pixels)
        expected = np.array(theirs(Image.fromarray(pixels))["pixel_values"][0])
        found = ours(picture)
        assert found.values.dtype == np.float32 and found.values.shape == expected.shape
        assert np.array_equal(found.values, expected)
        assert np.array_equal(saved(picture).values, expected)
        assert found.original == pixels.shape[:2]


@pytest.mark.parametrize(
    "values",
    [
        {"image_processor_type": "NobodysImageProcessor"},
        {},
        {"size": "large"},
        {"size": {"height": 0, "width": 3}},
        {"size": {"diagonal": 3}},
        {"size": True},
        {"resample": 9},
        {"image_mean": [0.5, 0.5]},
        {"image_std": [0.5, 0.0, 0.5]},
        {"do_resize": "yes"},
        {"rescale_factor": None, "do_rescale": 3},
        {"crop_size": {"height": 10}},
        {"crop_size": 10**9},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    named = {"image_processor_type": "CLIPImageProcessor"}
    assert read_processor(named)
    broken = values if "image_processor_type" in values or not values else {**named, **values}
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        read_processor(broken)


def test_a_picture_larger_than_its_padding_is_refused() -> None:
    stated = {"image_processor_type": "SamImageProcessor", "pad_size": 9}
    processor = read_processor({**stated, "size": {"longest_edge": 9}})
    picture = Picture(photographs()["made"])
    assert processor(picture).values.shape == (3, 9, 9)
    with pytest.raises(ConfigError, match="padded"):
        read_processor({**stated, "size": {"longest_edge": 10}})(picture)


SIDE = st.integers(1, 5000)


@given(height=SIDE, width=SIDE, edge=st.integers(1, 1200), longest=st.integers(1, 1400))
def test_proportions_are_kept(height: int, width: int, edge: int, longest: int) -> None:
    by_long = LongestEdge(edge).size(height, width)
    assert max(by_long) == edge
    by_short = ShortestEdge(edge).size(height, width)
    assert min(by_short) == edge
    bounded = ShortestEdge(edge, longest).size(height, width)
    assert bounded <= by_short and (
        bounded == by_short or max(bounded) <= max(longest, height, width)
    )
    for found in (by_long, by_short):
        assert (found[0] <= found[1]) == (height <= width) or found[0] == found[1]


@given(height=st.integers(1, 20), width=st.integers(1, 20), high=st.integers(1, 20))
def test_a_crop_has_its_size(height: int, width: int, high: int) -> None:
    assert centre_crop(np.ones((height, width, 3), np.uint8), high, 7).shape == (high, 7, 3)
