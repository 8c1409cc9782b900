"""Pictures cut into tiles, against the reference's own processor."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

from fathom.inputs.picture_canvas import PictureCanvas
from fathom.inputs.picture_processing import read_processor
from fathom.inputs.pictures import Picture
from fathom.spec.parts import Convolution, Norm
from fathom.spec.tiles import TileEncoder, arrangements

SIDES = st.integers(1, 150)


def tower(tiles: int, side: int) -> TileEncoder:
    """Return a tower of which only its tiles matter."""
    norm, kernel = Norm(4, 1e-5), Convolution(3, 4, (1, 1), (1, 1), (0, 0), (1, 1))
    return TileEncoder(tiles, side, kernel, norm, (), norm, (), ())


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, tiles=st.integers(1, 6), side=st.integers(8, 40))
def test_tiles_are_the_references(height: int, width: int, tiles: int, side: int) -> None:
    made = np.random.default_rng(height * 1000 + width)
    pixels = made.integers(0, 256, (height, width, 3), dtype=np.uint8)
    stated = {
        **{"image_processor_type": "MllamaImageProcessor", "image_mean": [0.4, 0.5, 0.6]},
        **{"size": {"height": side, "width": side}, "max_image_tiles": tiles},
    }
    theirs = MllamaImageProcessorPil(
        size=stated["size"], max_image_tiles=tiles, image_mean=[0.4, 0.5, 0.6]
    )
    expected = theirs(pixels, return_tensors="np", input_data_format="channels_last")
    canvas = PictureCanvas(read_processor(stated), side, tower(tiles, side).arranged)
    found = canvas(Picture(pixels))
    number = 1 + arrangements(tiles).index(found.arrangement)
    assert number == expected["aspect_ratio_ids"].item()
    assert len(found.values) == expected["aspect_ratio_mask"].sum()
    wanted = expected["pixel_values"][0, 0, : len(found.values)]
    np.testing.assert_allclose(found.values, wanted, atol=1e-5)
