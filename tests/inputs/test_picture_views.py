"""Pictures in tiles and at their own size against the reference's processors, on photographs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from fathom.errors import ConfigError, PictureError
from fathom.inputs.picture_views import AT_ITS_OWN, IN_TILES, VIEWED, frames, read_views, tiles
from fathom.inputs.pictures import Picture
from fathom.spec.picture_sizes import Native, Tiled
from photographs import photographs

# The reference's class, and variants of its configuration; the first is what it usually is.
REFERENCES: Mapping[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "idefics3": (
        "Idefics3ImageProcessorPil",
        (
            {},
            {"size": {"longest_edge": 512}, "max_image_size": {"longest_edge": 128}},
            {"do_image_splitting": False, "image_mean": [0.1, 0.2, 0.3]},
            {"size": {"longest_edge": 300}},
        ),
    ),
    "smolvlm": (
        "SmolVLMImageProcessorPil",
        ({}, {"resample": 3, "do_normalize": False, "size": {"longest_edge": 512}}),
    ),
    "qwen2vl": (
        "Qwen2VLImageProcessorPil",
        (
            {},
            {"size": {"shortest_edge": 3136, "longest_edge": 100_000}},
            {"patch_size": 16, "size": {"shortest_edge": 10**6, "longest_edge": 10**7}},
        ),
    ),
}
CASES = [(kind, config) for kind, (_, configs) in REFERENCES.items() for config in configs]


def test_every_known_processor_has_a_reference() -> None:
    assert set(REFERENCES) == set(VIEWED) == {*IN_TILES, *AT_ITS_OWN}


@pytest.mark.parametrize(("kind", "config"), CASES, ids=lambda value: str(value)[:60])
def test_arrays_equal_the_reference(kind: str, config: dict[str, Any]) -> None:
    theirs = getattr(transformers, REFERENCES[kind][0])(**config)
    saved = json.loads(theirs.to_json_string())
    stated = {**config, "image_processor_type": type(theirs).__name__}
    how, sizes = read_views(stated)
    assert read_views(saved) == (how, sizes) == read_views({"image_processor": saved})
    large = kind in IN_TILES and "size" not in config
    for pixels in list(photographs().values())[: 2 if large else None]:
        picture, image = Picture(pixels), Image.fromarray(pixels)
        if kind in IN_TILES:
            expected, grid = in_tiles(theirs, image)
            rule = replace(Tiled(1, 1), **sizes)
            shown = rule.shown(picture.height, picture.width)
            found = tiles(picture, rule, how)
            assert (shown.rows, shown.columns) == grid and shown.count == len(found)
        else:
            expected = at_its_own(theirs, image)
            found = frames([picture], Native(**sizes), how)
        assert found.dtype == np.float32 and np.array_equal(found, expected)


def in_tiles(theirs: Any, image: Image.Image) -> tuple[np.ndarray, tuple[int, int]]:
    seen = theirs(image, return_tensors="np", return_row_col_info=True)
    return seen["pixel_values"][0], (seen["rows"][0][0], seen["cols"][0][0])


def at_its_own(theirs: Any, image: Image.Image) -> np.ndarray:
    """Put the reference's patches back in their places: (1, 3, height, width)."""
    seen, size = theirs(image, return_tensors="np"), theirs.patch_size
    _, rows, columns = seen["image_grid_thw"][0]
    cut = seen["pixel_values"].reshape(rows // 2, columns // 2, 2, 2, 3, 2, size, size)
    whole = cut[..., 0, :, :].transpose(4, 0, 2, 5, 1, 3, 6)
    return whole.reshape(1, 3, rows * size, columns * size)


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    least=st.integers(1, 10**6),
    more=st.integers(0, 10**7),
    multiple=st.sampled_from([8, 28, 32]),
)
def test_sizes_are_the_references(
    height: int, width: int, least: int, more: int, multiple: int
) -> None:
    rule = Native(multiple, least, least + more)
    try:
        expected = smart_resize(height, width, multiple, least, least + more)
    except ValueError:
        with pytest.raises(PictureError, match="too narrow"):
            rule.resized(height, width)
        return
    assert rule.resized(height, width) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"max_image_size": {"longest_edge": 0}},
        {"size": {"longest_edge": "large"}},
        {"do_image_splitting": 1},
        {"do_resize": False},
        {"image_processor_type": "CLIPImageProcessor"},
        {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": -1},
        {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 1.5},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    named = {"image_processor_type": "Idefics3ImageProcessor"}
    assert read_views(named) and read_views({"image_processor_type": "Qwen2VLImageProcessor"})
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        read_views({**named, **values})
