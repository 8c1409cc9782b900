"""Every way out of the noise against the reference's scheduler: moments, and step by step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from fathom.dialects.config import Config
from fathom.dialects.diffusion_noise import SAMPLERS, read_sampler
from fathom.errors import ConfigError, RequestError
from fathom.tasks.diffusion.schedules import Schedule, schedule
from fathom.tasks.diffusion.steps import Memory, enter, mix, step

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers

# The reference hands tensors to NumPy in a way that NumPy is about to change.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = [{"timestep_spacing": name} for name in ("linspace", "leading", "trailing")]
PREDICTIONS = [{"prediction_type": name} for name in ("epsilon", "sample", "v_prediction")]
NO_PICTURE = [PREDICTIONS[0], PREDICTIONS[2]]
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
ENDS_IN_NOISE = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
STATED = {"trained_betas": [0.001 + 0.0001 * i for i in range(100)], "num_train_timesteps": 100}

# Scheduler → the switches that are thrown, one set a case.
CASES: Mapping[str, list[Mapping[str, Any]]] = {
    "DDPMScheduler": [
        *SPACINGS,
        *PREDICTIONS,
        COSINE,
        ENDS_IN_NOISE | {"timestep_spacing": "trailing"},
        THRESHOLD,
        STATED,
        {"clip_sample": False, "variance_type": "fixed_large", "steps_offset": 1},
        {"variance_type": "fixed_small_log", "clip_sample_range": 0.5},
        {"beta_schedule": "sigmoid"},
    ],
    "DDIMScheduler": [
        *SPACINGS,
        *PREDICTIONS,
        COSINE,
        ENDS_IN_NOISE | {"timestep_spacing": "trailing"},
        THRESHOLD,
        STATED,
        LATENT | {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1},
    ],
    "PNDMScheduler": [
        *({"skip_prk_steps": True} | each for each in (*SPACINGS, *NO_PICTURE)),
        LATENT | {"skip_prk_steps": True, "steps_offset": 1, "set_alpha_to_one": True},
    ],
    "EulerDiscreteScheduler": [
        *SPACINGS,
        *PREDICTIONS,
        COSINE,
        LATENT | {"use_karras_sigmas": True},
        LATENT | {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.0},
        LATENT | {"use_exponential_sigmas": True, "final_sigmas_type": "sigma_min"},
        LATENT | {"steps_offset": 1, "timestep_spacing": "leading"},
        LATENT | {"timestep_type": "continuous", "prediction_type": "v_prediction"},
        {"interpolation_type": "log_linear"},
        ENDS_IN_NOISE | {"timestep_spacing": "trailing"},
    ],
    "EulerAncestralDiscreteScheduler": [
        *SPACINGS,
        *NO_PICTURE,
        LATENT | {"steps_offset": 1, "timestep_spacing": "leading"},
        ENDS_IN_NOISE | {"timestep_spacing": "trailing"},
    ],
    "DPMSolverMultistepScheduler": [
        *SPACINGS,
        *PREDICTIONS,
        COSINE | {"lambda_min_clipped": -5.1},
        THRESHOLD,
        LATENT | {"use_karras_sigmas": True},
        # Not COSINE with Karras' sigmas: its first moments round to one, and the reference, which
        # looks its step up by the moment, then begins with the second and runs off the end.
        LATENT | {"use_exponential_sigmas": True, "final_sigmas_type": "sigma_min"},
        LATENT | {"solver_type": "heun", "steps_offset": 1},
        LATENT | {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
        LATENT | {"algorithm_type": "sde-dpmsolver++"},
        LATENT | {"solver_order": 1},
        LATENT | {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
        LATENT | {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
        ENDS_IN_NOISE | {"timestep_spacing": "trailing"},
    ],
    "LCMScheduler": [
        {},
        *PREDICTIONS,
        THRESHOLD,
        {"clip_sample": True, "clip_sample_range": 0.7},
        {"original_inference_steps": 100, "timestep_scaling": 3.0, "set_alpha_to_one": False},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ],
    "FlowMatchEulerDiscreteScheduler": [
        {},
        {"shift": 3.0},
        {"use_dynamic_shifting": True},
        {"use_dynamic_shifting": True, "time_shift_type": "linear", "max_shift": 2.0},
        {"shift_terminal": 0.1, "shift": 2.0},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True, "shift": 3.0},
        {"stochastic_sampling": True},
    ],
}
TOKENS = 1024  # of the picture, where moments depend on it


def both(name: str, switches: Mapping[str, Any], steps: int) -> tuple[Any, Schedule]:
    theirs = getattr(diffusers, name)(**switches)
    stated = {"_class_name": name, **switches}
    ours = schedule(read_sampler(Config(stated)), steps, tokens=TOKENS)
    if switches.get("use_dynamic_shifting"):
        config = theirs.config
        slope = (config.max_shift - config.base_shift) / (4096 - 256)
        theirs.set_timesteps(steps, mu=config.base_shift + slope * (TOKENS - 256))
    else:
        theirs.set_timesteps(steps)
    return theirs, ours


def denoised(planes: Tensor, moment: float, target: Tensor) -> Tensor:
    """A denoiser to try steps with: smooth in what it sees, and different at each moment."""
    return 0.4 * planes + 0.5 * target * (1 + moment / 1000) + 0.1 * torch.sin(3 * planes)


@pytest.mark.parametrize("steps", [1, 3, 7, 20])
@pytest.mark.parametrize(
    ("name", "switches"), [(name, each) for name, cases in CASES.items() for each in cases]
)
def test_every_step_equals_the_references(
    name: str, switches: Mapping[str, Any], steps: int
) -> None:
    if steps == 1 and "shift_terminal" in switches:
        steps = 2  # of one moment the reference stretches nothing, and divides by it
    theirs, ours = both(name, switches, steps)
    assert torch.allclose(ours.timesteps.float(), theirs.timesteps.float(), rtol=1e-4, atol=1e-3)
    assert ours.start == pytest.approx(float(getattr(theirs, "init_noise_sigma", 1.0)), rel=1e-5)
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    target = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(2))
    planes = expected = noise * ours.start
    memory = Memory()
    for index, moment in enumerate(theirs.timesteps):
        entered = enter(ours, index, planes)
        if hasattr(theirs, "scale_model_input"):
            seen = theirs.scale_model_input(expected, moment)
        else:
            seen = expected
        torch.testing.assert_close(entered, seen, rtol=1e-4, atol=1e-4 * float(seen.abs().max()))
        taken = step(
            ours,
            index,
            planes,
            denoised(entered, float(moment), target),
            memory,
            lambda: torch.randn(target.shape, generator=generators[0]),
        )
        output = denoised(seen, float(moment), target)
        options = {} if name == "PNDMScheduler" else {"generator": generators[1]}
        expected = theirs.step(output, moment, expected, **options).prev_sample
        planes, memory = taken.planes, taken.memory
        assert (planes - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max()))
    assert torch.equal(*(generator.get_state() for generator in generators))


@pytest.mark.parametrize("name", CASES)
def test_a_picture_is_mixed_with_noise_as_the_reference_does(name: str) -> None:
    switches = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    theirs, ours = both(name, switches, 10)
    picture, noise = torch.randn(2, 1, 3, 4, 4).unbind()
    index = 4
    moment = theirs.timesteps[index : index + 1]
    if hasattr(theirs, "scale_noise"):
        expected = theirs.scale_noise(picture, moment, noise)
    else:
        expected = theirs.add_noise(picture, noise, moment)
    torch.testing.assert_close(mix(ours, index, picture, noise), expected, rtol=1e-4, atol=1e-5)


def test_every_scheduler_that_is_read_has_cases() -> None:
    assert set(CASES) == set(SAMPLERS)


REFUSED = {
    "unknown": {"_class_name": "EulerDiscreteSchedular"},
    "Runge and Kutta": {"_class_name": "PNDMScheduler"},
    "beta sigmas": {"_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": True},
    "third order": {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3},
    "learned variance": {"_class_name": "DDPMScheduler", "variance_type": "learned_range"},
    "betas of another length": {"_class_name": "DDIMScheduler", "trained_betas": [0.1, 0.2]},
    "flow backwards": {"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_supported_is_refused(reason: str) -> None:
    with pytest.raises(ConfigError):
        read_sampler(Config(REFUSED[reason]))


@pytest.mark.parametrize(("steps", "name"), [(0, "DDIMScheduler"), (51, "LCMScheduler")])
def test_steps_that_cannot_be_are_refused(steps: int, name: str) -> None:
    sampler = read_sampler(Config({"_class_name": name}))
    assert schedule(sampler, 50).steps == 50
    with pytest.raises(RequestError, match="1 to"):
        schedule(sampler, steps)
