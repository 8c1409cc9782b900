"""A tiny autoencoder with real weights, on photographs: as close as its author's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fathom import library
from photographs import photographs

# madebyollin's taef2 at 512 × 512, resized by cubic interpolation: PSNR in dB of his own code.
PUBLISHED = {"dog": 36.1, "truck": 33.0, "groceries": 30.7}
HERE = Path(__file__).resolve()
FOLDERS = [folder / "shared" / "data" / "taef2" for folder in HERE.parents]
WEIGHTS = next((folder for folder in FOLDERS if folder.is_dir()), None)

pytestmark = pytest.mark.skipif(WEIGHTS is None, reason="its weights lie beside no checkout")


@pytest.fixture(scope="module")
def taef2() -> Any:
    return library.open(str(WEIGHTS), allow_pickle=True, dtype="float32", device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_pictures_come_back_as_close_as_published(name: str, taef2: Any) -> None:
    found = taef2.autoencode(photographs()[name], size=(512, 512))
    assert found.latents.shape == (32, 64, 64)
    assert round(found.decibels, 1) == PUBLISHED[name]


@pytest.mark.slow
def test_tiles_cost_little_closeness(taef2: Any) -> None:
    picture = photographs()["dog"]
    whole, tiled = (taef2.autoencode(picture, size=(384, 384), tile=t) for t in (None, 256))
    assert (whole.tiles, tiled.tiles) == (1, 4)
    assert tiled.decibels == pytest.approx(whole.decibels, abs=0.5)


def test_the_way_between_two_pictures_begins_and_ends_at_them(taef2: Any) -> None:
    first, second = (photographs()[name][:64, :64] for name in ("dog", "truck"))
    made = taef2.interpolate(first, second, count=3)
    ends = [taef2.autoencode(picture).pixels for picture in (first, second)]
    assert (made[0] == ends[0]).all()
    assert (made[2] == ends[1]).all()
    assert taef2.spec.about.tasks == ("autoencode", "interpolate")
