"""Verbs of models in stages keep what they measured, beside what was predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fathom.planning.records import LOAD, PASS_SECONDS, TOTAL
from fathom.planning.store import records


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))
    monkeypatch.delenv("FATHOM_RECORD", raising=False)


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    import transformers

    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = transformers.ViTConfig(**sizes, num_attention_heads=2, image_size=16, patch_size=8)
    place = tmp_path / "vit"
    transformers.ViTForImageClassification(config).save_pretrained(place)
    size = {"height": 16, "width": 16}
    transformers.ViTImageProcessorPil(size=size).save_pretrained(place)
    return place


def test_a_look_is_recorded_unless_told_otherwise(door, tower: Path, tmp_path: Path) -> None:
    picture = tmp_path / "seen.png"
    Image.fromarray(np.zeros((20, 30, 3), dtype=np.uint8)).save(picture)
    code, _, err = door("look", str(tower), str(picture), "--dtype", "float32", "--no-record")
    assert (code, records()) == (0, []), err
    assert door("look", str(tower), str(picture), "--dtype", "float32")[0] == 0
    (kept,) = records(kind="run")
    assert kept.subject.name == str(tower) and kept.settings.dtype == "float32"
    assert "seen" not in str(kept)
    assert (kept.figures["vision" + PASS_SECONDS].measured or 0) > 0
    assert kept.figures[TOTAL].predicted and kept.figures[TOTAL].measured
    assert kept.figures[LOAD].measured
