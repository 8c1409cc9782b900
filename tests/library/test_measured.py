"""What a task of a model in stages took is told by stage, as the model's spec names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fathom import library
from fathom.generation import stage_meter
from fathom.generation.stage_meter import StageMeter
from fathom.spec.work import Work

PIXELS = np.zeros((16, 16, 3), dtype=np.uint8)
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}


def test_a_stage_within_another_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(stage_meter, "perf_counter", lambda: clock[0])
    meter = StageMeter()
    with meter.stage("outer"):
        clock[0] += 2
        with meter.stage("inner"):
            clock[0] += 5
    with pytest.raises(ZeroDivisionError), meter.stage("inner"):
        1 / 0  # noqa: B018  # what fails took its time too
    found = meter.measured(load_seconds=3.0)
    assert found.passes == {"inner": 2, "outer": 1}
    assert found.seconds == {"inner": 5.0, "outer": 2.0}
    assert found.load_seconds == 3.0 and (found.peak_memory_bytes or 0) > 0
    meter.start()
    assert meter.measured().seconds == {} and meter.work == Work()


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    torch.manual_seed(1)
    config = transformers.ViTConfig(**SIZES, num_attention_heads=2, image_size=16, patch_size=8)
    place = tmp_path_factory.mktemp("vit")
    transformers.ViTForImageClassification(config).save_pretrained(place)
    size = {"height": 16, "width": 16}
    transformers.ViTImageProcessorPil(size=size).save_pretrained(place)
    return place


def test_each_task_begins_afresh_and_names_the_stages_of_the_spec(tower: Path) -> None:
    model = library.open(str(tower), dtype="float32", device="cpu")
    assert model.measured.seconds == {}
    model.compare([PIXELS], [PIXELS])
    assert model.measured.passes == {"vision": 2}
    model.classify(PIXELS)
    found = model.measured
    assert found.passes == {"vision": 1} and found.seconds["vision"] > 0
    assert found.seconds.keys() == {stage.name for stage in model.spec.stages(model.spec.usual)}
    assert found.load_seconds == model.load_seconds
