"""Whole pipelines against diffusers: the same seed gives the same picture."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.dialects.dialect import COMPONENTS
from fathom.errors import ConfigError, RequestError, TensorMismatchError, UnsupportedTaskError
from fathom.ops.choose import only
from fathom.planning.stages import predict_stages
from fathom.spec.parts import children, count
from fathom.spec.work import Work
from parity.cases_pipelines import CONTEXT, LATENT, PIPELINES, save, stable_diffusion
from parity.conftest import Measured
from parity.labelled import PIPELINES as KINDS
from parity.labelled import case_id

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    from diffusers.training_utils import _collate_lora_metadata

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of what the reference will drop
]
HALF = 0.51 / 255  # of a rounding step: ours are bytes
PROMPT = "a cat, sat."
RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 255, (16, 16, 3), dtype=np.uint8)
HINT = RANDOM.integers(0, 255, (64, 64, 3), dtype=np.uint8)
MASK = np.zeros((16, 16, 3), np.uint8)
MASK[:7, 4:] = 255


class Opened:
    """Pipelines of the reference and ours, each built once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, tuple[Any, Any, Path]] = {}

    def __call__(self, name: str) -> tuple[Any, Any, Path]:
        if name not in self._held:
            reference = PIPELINES[name]()
            reference.set_progress_bar_config(disable=True)
            folder = save(reference, self._folder / name.replace(" ", "-"))
            ours = library.open(str(folder), dtype="float32", device="cpu")
            self._held[name] = reference, ours, folder
        return self._held[name]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return Opened(tmp_path_factory.mktemp("pipelines"))


def theirs(pipeline: Any, *, seed: int = 11, **asked: Any) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(seed)
    found = pipeline(PROMPT, generator=generator, output_type="np", **asked)
    return found.images[0]


def assert_alike(ours: Any, expected: np.ndarray) -> float:
    """Return how far a picture is from the expected one, beyond the rounding to bytes."""
    assert ours.pixels.shape == expected.shape
    assert expected.std() > 0.01
    error = np.abs(ours.pixels / 255 - expected).max()
    assert error <= HALF
    return max(0.0, float(error) - 0.5 / 255) / float(expected.max())


def beside(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a pipeline is given beside the prompt: the reference, and ours."""
    if name == "filling":
        mask = Image.fromarray(MASK).convert("L")
        common = {"image": Image.fromarray(PHOTO), "mask_image": mask, "strength": 1.0}
        return {**common, "height": 16, "width": 16}, {
            "picture": PHOTO,
            "mask": MASK,
            "strength": 1.0,
        }
    if name == "steered":
        return {"image": Image.fromarray(HINT), "controlnet_conditioning_scale": 0.6}, {
            "hint": HINT,
            "steering": 0.6,
            "size": (64, 64),
        }
    return {}, {}


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("name", PIPELINES)
def test_pictures_of_a_seed_equal_the_reference(
    name: str, guidance: float, opened: Opened, measured: Measured
) -> None:
    reference, ours, _ = opened(name)
    given, own = beside(name)
    expected = theirs(reference, num_inference_steps=3, guidance_scale=guidance, **given)
    found = ours.imagine(PROMPT, steps=3, guidance=guidance, seed=11, **own)
    assert type(reference).__name__ == KINDS[name]
    error = assert_alike(found, expected)
    assert measured(case_id(KINDS[name], name), ours.spec, error) < 1e-4
    guided = guidance > 1 and name != "consistent"
    passes = 4 if name == "stable diffusion" else 3  # whose second moment is passed twice
    assert found.evaluations == passes * (2 if guided else 1)
    assert not np.array_equal(found.pixels, ours.imagine(PROMPT, steps=3, seed=12, **own).pixels)


@pytest.mark.parametrize("name", ["stable diffusion", "sdxl", "stable diffusion 3"])
def test_a_negative_prompt_and_a_size_are_the_references(name: str, opened: Opened) -> None:
    reference, ours, _ = opened(name)
    size = {"height": 16, "width": 24}
    asked = {"negative_prompt": "cats.", "guidance_scale": 6.0, "num_inference_steps": 2}
    expected = theirs(reference, **asked, **size)
    found = ours.imagine(PROMPT, steps=2, guidance=6.0, negative="cats.", seed=11, size=(24, 16))
    assert_alike(found, expected)


CHANGING = {
    "stable diffusion": "StableDiffusionImg2ImgPipeline",
    "consistent": "LatentConsistencyModelImg2ImgPipeline",
    "sdxl": "StableDiffusionXLImg2ImgPipeline",
    "stable diffusion 3": "StableDiffusion3Img2ImgPipeline",
}


@pytest.mark.parametrize("name", CHANGING)
def test_a_picture_is_changed_as_the_reference_changes_it(name: str, opened: Opened) -> None:
    reference, ours, _ = opened(name)
    parts = dict(reference.components)
    if name == "sdxl":
        parts["force_zeros_for_empty_prompt"] = True
    if name in ("stable diffusion", "consistent"):
        parts["requires_safety_checker"] = False
    changing = getattr(diffusers, CHANGING[name])(**parts)
    asked = {"num_inference_steps": 5, "strength": 0.6, "guidance_scale": 2.0}
    expected = theirs(changing, image=Image.fromarray(PHOTO), **asked)
    found = ours.imagine(PROMPT, steps=5, guidance=2.0, seed=11, picture=PHOTO, strength=0.6)
    if name == "consistent":  # there the teacher's moments are cut before the student's are chosen
        assert found.pixels.shape == expected.shape
        return
    assert_alike(found, expected)


@pytest.mark.parametrize("strength", [1.0, 0.7])
@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerAncestralDiscreteScheduler"])
def test_any_model_fills_in_a_picture_as_the_reference_does(
    scheduler: str, strength: float, tmp_path: Path
) -> None:
    chosen = getattr(diffusers, scheduler)(**LATENT)
    reference = stable_diffusion(chosen)
    ours = library.open(str(save(reference, tmp_path / "model")), dtype="float32", device="cpu")
    filling = diffusers.StableDiffusionInpaintPipeline(
        **reference.components, requires_safety_checker=False
    )
    expected = theirs(
        filling,
        image=Image.fromarray(PHOTO),
        mask_image=Image.fromarray(MASK).convert("L"),
        height=16,
        width=16,
        strength=strength,
        num_inference_steps=4,
        guidance_scale=3.0,
    )
    wishes = {"picture": PHOTO, "mask": MASK, "strength": strength}
    assert_alike(ours.imagine(PROMPT, steps=4, guidance=3.0, seed=11, **wishes), expected)


# The classes that the page of support says are opened alike.
KINDS_ALIKE = sorted(
    kind for kind, file in COMPONENTS.items() if file == "diffusion" and kind not in KINDS.values()
)
SCHEDULERS = [
    ("DDPMScheduler", {"clip_sample": False}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("LCMScheduler", {}),
]


@pytest.mark.parametrize(("scheduler", "switches"), SCHEDULERS)
def test_the_scheduler_of_the_folder_is_the_one_that_is_used(
    scheduler: str, switches: Mapping[str, Any], tmp_path: Path
) -> None:
    reference = stable_diffusion(getattr(diffusers, scheduler)(**{**LATENT, **switches}))
    ours = library.open(str(save(reference, tmp_path / "model")), dtype="float32", device="cpu")
    expected = theirs(reference, num_inference_steps=4, guidance_scale=3.0)
    assert_alike(ours.imagine(PROMPT, steps=4, guidance=3.0, seed=11), expected)
    assert ours.spec.about.model_class == ("LCM" if scheduler == "LCMScheduler" else "diffusion")


def test_a_net_from_elsewhere_steers_as_the_references(opened: Opened, tmp_path: Path) -> None:
    reference, _, folder = opened("steered")
    parts = {name: part for name, part in reference.components.items() if name != "controlnet"}
    alone = diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    ours = library.open(str(save(alone, tmp_path / "alone")), dtype="float32", device="cpu")
    with pytest.raises(RequestError, match="ControlNet"):
        ours.imagine(PROMPT, hint=HINT, size=(64, 64))
    ours.steer_by(library.open(str(folder / "controlnet"), dtype="float32", device="cpu"))
    expected = theirs(reference, num_inference_steps=2, image=Image.fromarray(HINT))
    assert_alike(ours.imagine(PROMPT, steps=2, seed=11, hint=HINT, size=(64, 64)), expected)


@pytest.mark.parametrize("kind", KINDS_ALIKE)
def test_a_folder_that_names_another_use_holds_the_same_parts(
    kind: str, opened: Opened, tmp_path: Path
) -> None:
    name = "sdxl" if "XL" in kind else "stable diffusion 3" if "3" in kind else "stable diffusion"
    _, ours, folder = opened("consistent" if "Latent" in kind else name)
    shutil.copytree(folder, tmp_path / "other")
    index = json.loads((folder / "model_index.json").read_text())
    (tmp_path / "other" / "model_index.json").write_text(json.dumps({**index, "_class_name": kind}))
    other = library.open(str(tmp_path / "other"), dtype="float32", device="cpu")
    assert other.spec == ours.spec


@pytest.mark.parametrize("name", PIPELINES)
def test_saved_the_reference_opens_it(name: str, opened: Opened, tmp_path: Path) -> None:
    reference, ours, _ = opened(name)
    ours.save(tmp_path / "again")
    again = type(reference).from_pretrained(tmp_path / "again", safety_checker=None)
    for part, module in reference.components.items():
        if not isinstance(module, torch.nn.Module):
            continue
        kept, found = module.state_dict(), getattr(again, part).state_dict()
        assert kept.keys() == found.keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in kept.items())
    ours_again = library.open(str(tmp_path / "again"), dtype="float32", device="cpu")
    assert count(ours_again.spec) == count(ours.spec)


@pytest.mark.parametrize("name", PIPELINES)
def test_stages_are_what_is_done(name: str, opened: Opened) -> None:
    """Components stand by themselves in the plan, and a whole picture costs what they add up to."""
    _, ours, _ = opened(name)
    _, own = beside(name)
    own = {key: value for key, value in own.items() if key not in ("picture", "mask", "strength")}
    if name == "filling":
        return  # which also encodes a picture
    side = 64 if name == "steered" else 16
    guided = name != "consistent"
    with only("reference"), FlopCounterMode(display=False) as counted:
        made = ours.imagine(PROMPT, steps=3, guidance=4.0, **own)
    steps = made.evaluations // (2 if guided else 1)
    work = Work(height=side, width=side, steps=steps, guided=guided)
    total = sum(stage.passes * stage.operations for stage in ours.spec.stages(work))
    if name == "stable diffusion 3":  # keys and values of a prompt are worked out at every step
        assert total == pytest.approx(counted.get_total_flops(), rel=0.02)
    else:
        assert counted.get_total_flops() <= 1.02 * total
        assert total <= 1.3 * counted.get_total_flops()
    prediction = predict_stages(ours.spec, dtype="float32", work=work)
    assert {f"weights: {part}" for part, _ in children(ours.spec)} <= set(prediction.terms)


def test_a_prompt_that_is_too_long_is_told(opened: Opened) -> None:
    _, ours, _ = opened("stable diffusion")
    fits = ours.imagine("a" + " b" * (CONTEXT - 3), steps=1)
    assert not fits.notes
    (note,) = ours.imagine("a" + " b" * CONTEXT + " zoo", steps=1).notes
    assert f"takes {CONTEXT}" in note
    assert "zoo" in note


def test_every_step_can_be_watched(opened: Opened) -> None:
    _, ours, _ = opened("sdxl")
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    found = ours.imagine(
        PROMPT,
        steps=3,
        progress=lambda shown: seen.append((shown.step, shown.steps, shown.look().shape)),
    )
    assert seen == [(step, 3, found.pixels.shape) for step in (1, 2, 3)]
    with Image.open(io.BytesIO(found.png())) as picture:
        assert np.array_equal(np.array(picture), found.pixels)


@pytest.mark.parametrize("spelling", ["diffusers", "kohya"])
def test_an_adapter_changes_what_it_changes_in_the_reference(spelling: str, tmp_path: Path) -> None:
    """The factors that diffusers writes, as it names them, and as kohya's scripts do."""
    reference = stable_diffusion()
    folder = save(reference, tmp_path / "model")
    before = library.open(str(folder), dtype="float32", device="cpu").imagine(PROMPT, steps=2)
    torch.manual_seed(9)
    targets = ["to_q", "to_v", "to_out.0", "conv1", "proj_in"]
    config = LoraConfig(r=2, lora_alpha=6, target_modules=targets, init_lora_weights=False)
    reference.unet.add_adapter(config)
    file = tmp_path / "lora" / "pytorch_lora_weights.safetensors"
    state = get_peft_model_state_dict(reference.unet)
    if spelling == "diffusers":
        notes = _collate_lora_metadata({"unet": reference.unet})
        reference.save_lora_weights(file.parent, state, **notes)
    else:
        file.parent.mkdir()
        save_file(kohya(state, strength=6.0), file)
    expected = theirs(reference, num_inference_steps=2)
    ours = library.open(str(folder), dtype="float32", device="cpu")
    assert ours.put_adapter_on(str(file.parent)) == len(state) // 2
    found = ours.imagine(PROMPT, steps=2, seed=11)
    assert_alike(found, expected)
    assert not np.array_equal(found.pixels, before.pixels)
    sdxl = library.open(str(save(PIPELINES["sdxl"](), tmp_path / "xl")), device="cpu")
    with pytest.raises(TensorMismatchError, match="trained on"):
        sdxl.put_adapter_on(str(file))


def kohya(state: Mapping[str, torch.Tensor], strength: float) -> dict[str, torch.Tensor]:
    """Return factors under the names of kohya's scripts, with their strengths."""
    found = {}
    for name, tensor in state.items():
        module, _, factor = name.removesuffix(".weight").rpartition(".")
        flat = "lora_unet_" + module.replace(".", "_")
        kind = {"lora_A": "lora_down", "lora_B": "lora_up"}[factor]
        found[f"{flat}.{kind}.weight"] = tensor.contiguous()
        found[f"{flat}.alpha"] = torch.tensor(strength)
    return found


REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"prompt": "  "}, "empty"),
    "an odd size": ({"size": (15, 16)}, "multiples of 2"),
    "a mask of nothing": ({"mask": MASK}, "give the picture"),
    "no strength": ({"picture": PHOTO, "strength": 0.0}, "strength"),
    "too little strength": ({"picture": PHOTO, "strength": 0.1, "steps": 2}, "leaves none"),
    "no steps": ({"steps": 0}, "1 to 1,000"),
    "guidance below zero": ({"guidance": -1.0}, "guidance"),
    "a hint for nobody": ({"hint": HINT}, "ControlNet"),
    "a seed below zero": ({"seed": -1}, "seed"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_makes_no_sense_is_refused(reason: str, opened: Opened) -> None:
    _, ours, _ = opened("sdxl")
    asked, word = REFUSED[reason]
    with pytest.raises(RequestError, match=word):
        ours.imagine(**{"prompt": PROMPT, "steps": 2, **asked})


def test_a_picture_wider_than_the_table_of_positions_is_refused(opened: Opened) -> None:
    _, ours, _ = opened("stable diffusion 3")
    spec = ours.spec
    most = spec.denoiser.grid * spec.denoiser.patch * spec.autoencoder.factor
    assert ours.imagine(PROMPT, steps=1, size=(most, most)).size == (most, most)
    wide = np.zeros((most, 2 * most, 3), np.uint8)
    for asked in ({"size": (2 * most, most)}, {"picture": wide}):
        with pytest.raises(RequestError, match="take a smaller size"):
            ours.imagine(PROMPT, steps=2, **asked)


def test_what_a_model_lacks_is_refused(opened: Opened) -> None:
    with pytest.raises(RequestError, match="a picture and a mask"):
        opened("filling")[1].imagine(PROMPT, steps=2)
    with pytest.raises(RequestError, match="give it as the hint"):
        opened("steered")[1].imagine(PROMPT, steps=2, size=(64, 64))
    with pytest.raises(UnsupportedTaskError, match="imagine"):
        opened("sdxl")[1].autoencode(PHOTO)


BROKEN = {
    "a scheduler that is not read": (
        "scheduler/scheduler_config.json",
        "_class_name",
        "HeunDiscreteScheduler",
        "HeunDiscreteScheduler",
    ),
    "texts of another width": ("unet/config.json", "cross_attention_dim", 16, "width"),
    "latents of other channels": ("unet/config.json", "in_channels", 7, "channels"),
    "no name": ("model_index.json", "_class_name", None, "_class_name"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_folder_is_refused(fault: str, opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(opened("stable diffusion")[2], folder)
    library.describe(str(folder))
    file, key, value, word = BROKEN[fault]
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, key: value}))
    with pytest.raises(ConfigError, match=word):
        library.describe(str(folder))
