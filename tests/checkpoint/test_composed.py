"""What a pipeline's index may name, and what would have somebody's code run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.checkpoint.composed import INDEX, read_composed
from fathom.errors import ModelFileError

KNOWN = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
CODE = {
    "a pipeline of one's own": {"custom_pipeline": "someone/their-pipeline"},
    "a module beside the index": {"_class_name": ["pipeline", "TheirPipeline"]},
    "a module in a part's folder": {"unet": ["unet", "TheirUNet"]},
    "a map of classes": {"auto_map": {"AutoModel": "theirs.Model"}},
}


def folder(path: Path, index: dict[str, object]) -> Path:
    (path / INDEX).write_text(json.dumps(index))
    (path / "unet").mkdir()
    (path / "unet" / "unet.py").write_text("raise SystemExit")
    (path / "None.py").write_text("raise SystemExit")
    return path


@pytest.mark.parametrize("named", CODE.values(), ids=CODE)
def test_an_index_that_names_code_is_refused(named: dict[str, object], tmp_path: Path) -> None:
    """CF-06; the one that names none is read, with the same files beside it."""
    with pytest.raises(ModelFileError) as caught:
        read_composed(folder(tmp_path, {**KNOWN, **named}))
    assert caught.value.code == "E_UNSAFE_CODE"
    (tmp_path / INDEX).write_text(json.dumps(KNOWN))
    read = read_composed(tmp_path)
    assert read is not None and read.config["model_type"] == "StableDiffusionPipeline"
