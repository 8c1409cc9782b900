"""Components of a pipeline that rest: the same pictures in the room that the largest one takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fathom import library
from fathom.cli.main import main
from fathom.errors import DoesNotFitError, RequestError
from fathom.library.imagining import PictureMakerModel
from fathom.planning import staged_fit
from fathom.planning.costs import computed_in, weight_bytes
from fathom.planning.stages import in_turns, predict_stages
from fathom.spec.parts import children
from fathom.spec.work import Pipeline
from parity.cases_pipelines import PIPELINES, save

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers  # noqa: F401  # its warnings at the first import are not ours

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
CHOSEN = tuple(PIPELINES)[:1] + tuple(name for name in PIPELINES if "3" in name)[:1]


@pytest.fixture(scope="module", params=CHOSEN)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    reference = PIPELINES[request.param]()
    return save(reference, tmp_path_factory.mktemp("resting") / "pipeline")


def opened(folder: Path, *, resting: bool) -> PictureMakerModel:
    found = library.open(str(folder), dtype="float32", device="cpu", resting=resting)
    assert isinstance(found, PictureMakerModel)
    return found


def held(module: nn.Module) -> set[str]:
    """Return the components that hold any numbers."""
    return {
        name.partition(".")[0]
        for name, parameter in module.named_parameters()
        if parameter.device.type != "meta"
    }


def test_pictures_are_the_same_and_components_hold_weights_in_their_turn_only(folder: Path) -> None:
    whole, resting = opened(folder, resting=False), opened(folder, resting=True)
    seen: list[set[str]] = []
    asked = {"steps": 2, "size": (16, 16), "negative": "rain"}
    made = resting.imagine(
        "a cat, sat.", progress=lambda _: seen.append(held(resting.module)), **asked
    )
    np.testing.assert_array_equal(made.pixels, whole.imagine("a cat, sat.", **asked).pixels)
    assert len(seen) >= 2
    assert all(each == {"denoiser"} for each in seen)
    assert held(resting.module) == set()
    photo = np.full((16, 16, 3), 90, np.uint8)  # which the autoencoder reads first
    changed = [one.imagine("a cat", steps=2, picture=photo) for one in (whole, resting)]
    np.testing.assert_array_equal(changed[0].pixels, changed[1].pixels)


def test_a_turn_that_fails_ends_in_rest(folder: Path) -> None:
    resting = opened(folder, resting=True)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resting.imagine("a cat", steps=2, size=(16, 16), progress=stop)
    assert held(resting.module) == set()


def test_the_plan_holds_the_largest_turn(folder: Path) -> None:
    spec = opened(folder, resting=True).spec
    assert isinstance(spec, Pipeline)
    whole = predict_stages(spec, dtype="float32")
    found = in_turns(whole, spec)
    parts = dict(children(spec))
    held = computed_in("float32")
    turns = [sum(weight_bytes(parts[name], held) for name in turn) for turn in spec.turns]
    weights = {name: size for name, size in found.terms.items() if name.startswith("weights")}
    assert sum(weights.values()) in turns
    assert max(turns) <= sum(weights.values()) + found.terms["workspace"]
    assert found.total_bytes < whole.total_bytes
    assert sorted(name for turn in spec.turns for name in turn) == sorted(parts)


def test_saved_it_is_whole(folder: Path, tmp_path: Path) -> None:
    resting = opened(folder, resting=True)
    resting.save(tmp_path / "saved")
    again = opened(tmp_path / "saved", resting=False)
    whole = dict(opened(folder, resting=False).module.named_parameters())
    assert whole.keys() == dict(again.module.named_parameters()).keys()
    for name, parameter in again.module.named_parameters():
        assert torch.equal(parameter, whole[name]), name
    assert held(resting.module) == set()


def test_what_fits_only_at_rest_is_told_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = opened(folder, resting=True).spec
    whole = predict_stages(spec, dtype="float32")
    room = in_turns(whole, spec).total_bytes

    class Small:
        memory_available = room
        accelerators, device = (), "cpu"

    monkeypatch.setattr(staged_fit, "this_machine", Small)
    found = library.fit(str(folder), dtype="float32")
    if found.prediction.total_bytes > room:
        assert not found.fits
        assert found.remedies[0].change == "--resting"
        assert found.remedies[0].total_bytes <= room
    assert library.fit(str(folder), dtype="float32", resting=True).prediction.total_bytes <= room
    monkeypatch.setattr(library.opening, "this_machine", Tiny)
    with pytest.raises(DoesNotFitError, match="--resting"):
        opened(folder, resting=False)
    assert main(["fit", str(folder), "--resting", "--dtype", "float32"]) == 0
    assert "components lie in memory only while they work" in capsys.readouterr().out


class Tiny:
    memory_available = 1
    accelerators = ()


def test_changes_that_a_rest_would_lose_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="resting=False"):
        opened(folder, resting=True).put_adapter_on(str(tmp_path / "lora.safetensors"))


def test_only_a_pipeline_rests(folder: Path) -> None:
    for ask in (library.open, library.fit):
        with pytest.raises(RequestError, match="--resting"):
            ask(str(folder / "vae"), resting=True)
