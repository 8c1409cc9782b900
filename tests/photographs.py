"""Pictures to try things on: photographs where they lie beside the checkout, and a made one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from fathom.inputs.pictures import Pixels, read_picture

HERE = Path(__file__).resolve()


@cache
def photographs() -> dict[str, Pixels]:
    """Return pictures by name; the made one has an odd size and every colour."""
    folders = (folder / "shared" / "data" / "pictures" for folder in HERE.parents)
    found = next((folder for folder in folders if folder.is_dir()), None)
    real = sorted(found.glob("*.jpg")) if found is not None else []
    return {"made": made(143, 217), **{file.stem: read_picture(file).pixels for file in real}}


def made(height: int, width: int) -> Pixels:
    """Return waves with noise on them: neither flat nor noise alone."""
    noise = np.random.default_rng(5).normal(0, 12, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + y / 23), np.cos(x / 31 - y / 7), np.sin((x + y) / 15)]
    picture = 127 + 110 * np.stack(waves, axis=-1) + noise
    return picture.clip(0, 255).astype(np.uint8)
