"""Every kind of model that works in stages is inspected, explained and fitted from its config."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fathom import library, ops
from fathom.checkpoint.published import published_spec
from fathom.cli.main import main
from fathom.library.kinds import STAGED
from fathom.planning.executing import PREPARED_BYTES
from fathom.planning.issued import issued_in
from fathom.planning.probe import NativeRates, Rates
from fathom.planning.speed import CALLS, MAPS, NUMBERS
from fathom.planning.staged_speed import CHOOSING, CHOSEN, FILTERING, pass_seconds
from fathom.planning.stages import TILES_BYTES, beside, predict_stages, settled
from fathom.spec.parts import Linear, children, count, leaves
from fathom.spec.speech import Speech
from fathom.spec.work import Staged, Work
from fathom.tasks.loads import passes
from parity import (
    cases_autoencoders,
    cases_denoisers,
    cases_pipelines,
    stylegan2_reference,
    trm_reference,
)
from parity.cases_cross_vision import CASES as LOOKING
from parity.cases_detectors import grounding_dino
from parity.cases_listening import qwen2_audio
from parity.cases_omni import CASES as OMNI
from parity.cases_segmenters import sam
from parity.cases_speech import whisper
from parity.cases_vision import towers
from parity.cases_vision_language import CASES as SEEING
from planning.profiled import random_module
from planning.test_issued import Counted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    from transformers import AutoConfig, LlavaConfig


def published(model_type: str, **stated: Any) -> Mapping[str, object]:
    return AutoConfig.for_model(model_type, **stated).to_dict()


def component(name: str, stated: Mapping[str, Any]) -> Mapping[str, object]:
    config = dict(getattr(diffusers, name)(**stated).config)
    return {**config, "_class_name": name}


def tower(*model_types: str) -> Mapping[str, object]:
    case = next(case for case in towers.CASES if case.model_type in model_types)
    return published(case.model_type, **case.config)


def pipeline(folder: Path) -> None:
    cases_pipelines.save(cases_pipelines.stable_diffusion(), folder)
    for file in folder.rglob("*.safetensors"):
        file.unlink()


def first(cases: Mapping[str, Any]) -> Any:
    return next(iter(cases.values()))


# Spec type → a small configuration, or what writes a folder of several.
SMALL: Mapping[str, Callable[[], Mapping[str, object]] | Callable[[Path], None]] = {
    "Autoencoder": lambda: component(
        "AutoencoderKL", first(cases_autoencoders.CASES["AutoencoderKL"])
    ),
    "Unet": lambda: component("UNet2DConditionModel", first(cases_denoisers.UNETS)),
    "ControlNet": lambda: component("ControlNetModel", first(cases_denoisers.CONTROL_NETS)),
    "DiffusionTransformer": lambda: component(
        "SD3Transformer2DModel", first(cases_denoisers.TRANSFORMERS)
    ),
    "Speech": lambda: published("whisper", **whisper.CASES[0].config),
    "SpeechLanguage": lambda: published(
        "qwen2_audio",
        audio_token_index=qwen2_audio.CASES[0].text["vocab_size"] - 1,
        audio_config=dict(qwen2_audio.CASES[0].sound),
        text_config=dict(qwen2_audio.CASES[0].text),
    ),
    "VisionLanguage": lambda: LlavaConfig(**first(SEEING).config).to_dict(),
    "CrossVisionLanguage": lambda: {"model_type": "mllama", **first(LOOKING)},
    "Omni": lambda: {"model_type": "qwen2_5_omni_thinker", **first(OMNI)},
    "Recursive": lambda: trm_reference.config("attention"),
    "Segmenter": lambda: published("sam", **sam.CASES[0].config),
    "Detector": lambda: published("grounding-dino", **grounding_dino.CASES[0].whole),
    "Generator": lambda: stylegan2_reference.config("skip"),
    "PictureEncoder": lambda: tower("vit", "dinov2"),
    "PictureText": lambda: tower("clip", "siglip"),
}


def written(name: str, folder: Path) -> Path:
    if name == "PictureMaker":
        pipeline(folder)
        return folder
    file = folder / "config.json"
    file.write_text(json.dumps(SMALL[name](), default=list), encoding="utf-8")  # type: ignore[call-arg]
    return file


@pytest.fixture(params=[kind.__name__ for kind in STAGED])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Return the name of each kind of spec, and where a configuration of it lies."""
    return request.param, str(written(request.param, tmp_path))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_kind_is_a_card_a_page_and_a_plan(small, capsys) -> None:
    from fathom.checkpoint.description import describe

    kind, place = small
    spec: Any = describe(Path(place)).spec
    assert type(spec).__name__ == kind
    card, page, plan = (said(capsys, verb, place) for verb in ("inspect", "explain", "fit"))
    assert card["parameters"] == page["parameters"] == count(spec)
    assert card["model_class"] == page["model_class"] == spec.about.model_class
    assert sum(part["parameters"] for part in page["components"]) == count(spec)
    assert sum(role["parameters"] for role in page["roles"]) == count(spec)
    assert [stage["name"] for stage in page["stages"]] == [
        stage.name for stage in spec.stages(spec.usual)
    ]
    assert page["code"][1]["part"] == kind
    assert "=" not in page["outline"]  # no value is printed as Python spells it
    terms = plan["prediction"]["terms"]
    assert {f"weights: {name}" for name, _ in children(spec)} <= set(terms)
    assert plan["total_bytes"] == sum(terms.values())
    assert set(terms) == set(plan["reasons"])
    assert list(plan["prediction"]["operations"]) == [one["name"] for one in page["stages"]]


def test_each_kind_is_told_to_a_reader(small, capsys) -> None:
    _, place = small
    for words in (["inspect"], ["explain", "--names"], ["fit", "--why", "--on", "rtx4090"]):
        assert main([*words[:1], place, *words[1:]]) == 0
        assert place in capsys.readouterr().out


def test_more_work_costs_more_and_smaller_work_is_the_remedy(tmp_path, capsys) -> None:
    place = str(written("Autoencoder", tmp_path))
    words = ("fit", place, "--dtype", "float32", "--batch")
    one, four = (said(capsys, *words, number) for number in ("1", "4"))
    own = {"workspace": TILES_BYTES}  # of kernels, which is the same for any work
    for name, size in one["prediction"]["terms"].items():
        times = 4 if name in ("kept", "workspace") else 1
        grown = times * (size - own.get(name, 0)) + own.get(name, 0)
        assert four["prediction"]["terms"][name] == grown
    large = ("fit", place, "--on", "rtx4090", "--size", "16384", "8192", "--dtype", "float32")
    found = said(capsys, *large)
    assert not found["fits"]
    assert all(one["total_bytes"] <= found["memory_bytes"] for one in found["remedies"])
    assert any(one["change"].startswith("--size") for one in found["remedies"])


@pytest.mark.parametrize("verb", ["fit", "explain"])
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--seconds", "3"), "not asked for seconds; its work is told by batch, height, width"),
        (("--size", "0", "8"), "--size must be more than nothing"),
        (("--context", "8"), "--context is asked of text models only"),
        (("--dtype", "q4"), "not one of float32"),
    ],
)
def test_what_does_not_concern_a_model_is_refused(verb, words, complaint, tmp_path, capsys) -> None:
    place = str(written("Autoencoder", tmp_path))
    assert main([verb, place, *words]) == 2
    assert complaint in capsys.readouterr().err
    assert main([verb, place, "--size", "8", "8"]) == 0


def test_a_text_model_is_not_asked_for_pictures(tmp_path, capsys) -> None:
    from planning.test_explanation import LLAMA

    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA), encoding="utf-8")
    assert main(["fit", str(file), "--steps", "3"]) == 2
    assert "a text model is not asked for steps" in capsys.readouterr().err
    assert main(["explain", str(file)]) == 0


def test_planning_loads_no_torch(tmp_path) -> None:
    program = (
        "import sys; from fathom.cli.main import main; "
        f"codes = [main([verb, {str(written('Speech', tmp_path))!r}]) for verb in "
        "('inspect', 'explain', 'fit')]; "
        "print(codes, sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] []"


class Small(SimpleNamespace):
    """A model in memory, as what measures stages asks for it."""

    spec: Any
    dtype = "float32"
    device = torch.device("cpu")


SIZES = {"Detector": Work(height=64, width=96)}  # as usual it sees large pictures


@pytest.mark.parametrize("kind", SMALL)
def test_as_many_operations_are_called_as_are_counted(kind: str) -> None:
    """Within a factor of two, as the dispatcher sees them in one pass of each stage."""
    spec = published_spec(SMALL[kind]())  # type: ignore[call-arg]
    assert isinstance(spec, Staged)
    work = settled(SIZES.get(kind, Work()), spec.usual)
    with torch.inference_mode():
        run = passes(Small(spec=spec, module=random_module(spec, torch.float32)), work)
        for stage in spec.stages(work):
            run[stage.name]()
            with Counted() as calls:
                run[stage.name]()
            assert 0.5 < stage.turns * issued_in(stage.part) / calls.operations < 2, stage.name


FREE = Rates(
    1,
    memory_read=1e30,
    matvec={"float32": ((512, 0.0, 1e30),)},
    matmul={"float32": ((2, 1e30),)},
    moved={"float32": 1e30},
)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize(
    ("slow", "what"),
    [
        ({"call_seconds": 1.0}, CALLS),
        ({"moved": {"float32": 1.0}}, NUMBERS),
        ({"matmul": {"float32": ((2, 1.0),)}, "matvec": {"float32": ((512, 0.0, 1.0),)}}, MAPS),
    ],
)
def test_each_second_has_its_cause(kind: str, slow: Mapping[str, Any], what: str) -> None:
    """What is slow alone takes all of the time, of every pass, and twice the work takes more."""
    spec = published_spec(SMALL[kind]())  # type: ignore[call-arg]
    assert isinstance(spec, Staged)
    rates = replace(FREE, **slow)
    work = settled(Work(), spec.usual)
    one = predict_stages(spec, dtype="float32", work=work, rates=rates).seconds
    two = predict_stages(spec, dtype="float32", work=replace(work, batch=2), rates=rates).seconds
    assert one is not None
    assert two is not None
    for stage in spec.stages(work):
        parts = pass_seconds(stage, "float32", rates)
        assert stage.passes * sum(parts.values()) == pytest.approx(one[stage.name])
        assert parts[what] == pytest.approx(sum(parts.values()))
        assert two[stage.name] >= one[stage.name]
    if what == MAPS:
        assert sum(two.values()) > sum(one.values()) > 0


@pytest.mark.parametrize("dtype", FILTERING)
@pytest.mark.parametrize("kind", ["Autoencoder", "Unet", "ControlNet"])
def test_native_kernels_convolve_by_three_with_fewer_products(kind: str, dtype: str) -> None:
    """And nothing else: what they save is a share of what such convolutions state."""
    spec = published_spec(SMALL[kind]())
    assert isinstance(spec, Staged)
    rate = 1e6  # so slow that no stage is bound by reading
    plain = Rates(1, 1e11, {}, {dtype: ((1.0, rate),)})
    natively = replace(plain, native=NativeRates("", {}, {}, 1.0, 1.0, 1.0, 1.0, 0.0, 0))
    seconds = [predict_stages(spec, dtype=dtype, rates=one).seconds for one in (plain, natively)]
    assert seconds[0] is not None and seconds[1] is not None
    for stage in spec.stages(settled(Work(), spec.usual)):
        assert 0 < stage.filtered <= stage.operations
        saved = stage.passes * stage.filtered / rate * (1 - 1 / FILTERING[dtype])
        assert seconds[0][stage.name] - seconds[1][stage.name] == pytest.approx(saved)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the reference's, of its own scheduler
@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("stable_diffusion", r"asked 100 \(2 × 50\) times; .* asks it 4 times, 0.04 times"),
        ("consistent", r"asked 4 times; guided diffusion asks it 100 \(2 × 50\) times, 25 times"),
    ],
)
def test_evaluations_are_counted_beside_the_other_kind_of_model(
    made: str, said: str, tmp_path: Path
) -> None:
    cases_pipelines.save(getattr(cases_pipelines, made)(), tmp_path / "model")
    found = library.explain(str(tmp_path / "model"))
    assert any(re.search(said, note) for note in found.notes), found.notes


@pytest.mark.parametrize("vocabulary", [0, 10_000])
def test_what_is_done_beside_stages_is_counted(vocabulary: int) -> None:
    """Twice the windows take twice as long to be made spectrograms of and to be chosen from."""
    config = dict(SMALL["Speech"]())  # type: ignore[call-arg]
    config["vocab_size"] = config["vocab_size"] + vocabulary  # type: ignore[operator]
    spec = published_spec(config)
    assert isinstance(spec, Speech)
    rates = replace(FREE, moved={"float32": 1e9}, call_seconds=1e-6)
    one, two = (
        predict_stages(
            spec, dtype="float32", work=Work(seconds=n * spec.encoder.seconds), rates=rates
        )
        for n in (1, 2)
    )
    assert one.seconds is not None
    assert two.seconds is not None
    for name in ("spectrogram", "choosing"):
        assert two.seconds[name] == pytest.approx(2 * one.seconds[name])
    written = spec.usual.written or 0
    assert one.seconds["choosing"] == pytest.approx(
        written * (CHOOSING * 1e-6 + CHOSEN * spec.vocabulary * 4 / 1e9)
    )
    assert one.total_seconds == pytest.approx(sum(one.seconds.values()))


def test_tiles_that_lie_transformed_are_as_large_as_the_kernels_make_them() -> None:
    source = Path(ops.__file__).with_name("kernels") / "convolution.cpp"
    found = re.search(r"near_bytes = (\d+) << 20", source.read_text(encoding="utf-8"))
    assert found is not None
    assert int(found[1]) * 2**20 == TILES_BYTES


@pytest.mark.parametrize("kind", ["DiffusionTransformer", "Unet"])
def test_the_code_of_every_shape_of_product_is_held(kind: str) -> None:
    """Of bfloat16 alone, and of none that a layer's own kernel does."""
    spec = published_spec(SMALL[kind]())  # type: ignore[call-arg]
    assert isinstance(spec, Staged)
    (stage,) = spec.stages(spec.usual)
    shapes = {(one.inputs, one.outputs) for _, one in leaves(stage.part) if isinstance(one, Linear)}
    assert beside(stage, "bfloat16") - beside(stage, "float32") == PREPARED_BYTES * len(shapes)
    assert len(shapes) > 1
