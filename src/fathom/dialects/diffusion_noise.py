"""The schedulers of diffusers as they are configured: ``scheduler_config.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

from fathom.dialects.config import Config
from fathom.errors import ConfigError, nearest
from fathom.spec.diffusion_noise import (
    Bound,
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    FlowEuler,
    Law,
    Lcm,
    Noising,
    Plms,
    Prediction,
    Sampler,
    Spacing,
    Spread,
    Timing,
)

LAWS: Mapping[str, Law] = {
    "linear": "linear",
    "scaled_linear": "scaled",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid",
}
PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": "noise",
    "sample": "picture",
    "original_sample": "picture",
    "v_prediction": "velocity",
}
SPACINGS: tuple[Spacing, ...] = ("linspace", "leading", "trailing")
VARIANCES: Mapping[str, Literal["small", "large"]] = {
    "fixed_small": "small",
    "fixed_small_log": "small",
    "fixed_large": "large",
}
MOST_STEPS = 1_000_000


def read_sampler(config: Config) -> Sampler:
    """Return the way of taking noise away that a scheduler's configuration states.

    Raises:
        ConfigError: for a scheduler, or a switch of one, that is not supported.
    """
    name = config.text("_class_name")
    if name not in SAMPLERS:
        raise ConfigError(
            f"{config.where}: the scheduler '{name}' is not supported.{nearest(name, SAMPLERS)}"
            f" Supported are {', '.join(SAMPLERS)}; name one in 'scheduler_config.json'"
        )
    return SAMPLERS[name](config)


def _noising(config: Config, first: float = 0.0001, last: float = 0.02) -> Noising:
    law = config.choice("beta_schedule", LAWS, "linear" if first == 0.0001 else "scaled_linear")
    stated = config.numbers("trained_betas") if "trained_betas" in config else ()
    steps = config.integer("num_train_timesteps", 1000, least=2, most=MOST_STEPS)
    config.require(
        not stated or len(stated) == steps, "'trained_betas' needs a number for each step"
    )
    return Noising(
        steps,
        config.number("beta_start", first, positive=True),
        config.number("beta_end", last, positive=True),
        LAWS[law],
        stated,
        config.flag("rescale_betas_zero_snr", False),
    )


def _prediction(config: Config) -> Prediction:
    return PREDICTIONS[config.choice("prediction_type", PREDICTIONS, "epsilon")]


def _timing(config: Config, default: Spacing) -> Timing:
    spacing = cast(Spacing, config.choice("timestep_spacing", SPACINGS, default))
    return Timing(spacing, config.integer("steps_offset", 0, least=0, most=MOST_STEPS))


def _bound(config: Config, clips: bool) -> Bound | None:
    if config.flag("thresholding", False):
        most = config.number("sample_max_value", 1.0, positive=True)
        return Bound(most, config.number("dynamic_thresholding_ratio", 0.995, positive=True))
    if config.flag("clip_sample", clips):
        return Bound(config.number("clip_sample_range", 1.0, positive=True))
    return None


def _spread(config: Config) -> Spread:
    for key in ("use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas"):
        config.require(not config.flag(key, False), f"'{key}' is not supported; leave it out")
    karras = config.flag("use_karras_sigmas", False)
    exponential = config.flag("use_exponential_sigmas", False)
    config.require(not (karras and exponential), "only one of Karras's and exponential sigmas")
    return "karras" if karras else "exponential" if exponential else "trained"


def _ends_clean(config: Config) -> bool:
    return config.choice("final_sigmas_type", ("zero", "sigma_min"), "zero") == "zero"


def _ddpm(config: Config) -> Ddpm:
    variance = VARIANCES[config.choice("variance_type", VARIANCES, "fixed_small")]
    timing = _timing(config, "leading")
    return Ddpm(_noising(config), _prediction(config), timing, _bound(config, True), variance)


def _ddim(config: Config) -> Ddim:
    timing, ends_clean = _timing(config, "leading"), config.flag("set_alpha_to_one", True)
    return Ddim(_noising(config), _prediction(config), timing, _bound(config, True), ends_clean)


def _plms(config: Config) -> Plms:
    config.require(
        config.flag("skip_prk_steps", False),
        "'skip_prk_steps' must be true: steps by Runge and Kutta's method are not supported",
    )
    prediction = _prediction(config)
    config.require(prediction != "picture", "this scheduler takes no predicted pictures")
    timing = _timing(config, "leading")
    return Plms(_noising(config), prediction, timing, config.flag("set_alpha_to_one", False))


def _euler(config: Config) -> Euler:
    prediction = _prediction(config)
    continuous = config.choice("timestep_type", ("discrete", "continuous"), "discrete")
    between = config.choice("interpolation_type", ("linear", "log_linear"), "linear")
    return Euler(
        _noising(config),
        prediction,
        _timing(config, "linspace"),
        _spread(config),
        continuous=continuous == "continuous" and prediction == "velocity",
        logarithmic=between == "log_linear",
        least=config.optional_number("sigma_min", positive=True),
        most=config.optional_number("sigma_max", positive=True),
        ends_clean=_ends_clean(config),
    )


def _euler_ancestral(config: Config) -> Euler:
    prediction = _prediction(config)
    config.require(prediction != "picture", "this scheduler takes no predicted pictures")
    return Euler(_noising(config), prediction, _timing(config, "linspace"), ancestral=True)


def _dpm_solver(config: Config) -> DpmSolver:
    kinds = ("dpmsolver++", "sde-dpmsolver++")
    order = config.integer("solver_order", 2, most=2)
    lowest = config.values.get("lambda_min_clipped")
    config.require(
        "variance_type" not in config, "'variance_type' is of denoisers that are not supported"
    )
    solver = config.choice("solver_type", ("midpoint", "heun"), "midpoint")
    return DpmSolver(
        _noising(config),
        _prediction(config),
        _timing(config, "linspace"),
        _bound(config, False),
        2 if order == 2 else 1,
        "heun" if solver == "heun" else "midpoint",
        random=config.choice("algorithm_type", kinds, kinds[0]) == kinds[1],
        lower_at_end=config.flag("lower_order_final", True),
        straight_at_end=config.flag("euler_at_final", False),
        spread=_spread(config),
        ends_clean=_ends_clean(config),
        least_logarithm=lowest if isinstance(lowest, int | float) and lowest > -1e9 else None,
    )


def _lcm(config: Config) -> Lcm:
    noising = _noising(config, 0.00085, 0.012)
    return Lcm(
        noising,
        _prediction(config),
        config.integer("original_inference_steps", 50, most=noising.steps),
        config.number("timestep_scaling", 10.0, positive=True),
        _bound(config, False),
        config.flag("set_alpha_to_one", True),
    )


def _flow(config: Config) -> FlowEuler:
    config.require(not config.flag("invert_sigmas", False), "'invert_sigmas' is not supported")
    law = config.choice("time_shift_type", ("exponential", "linear"), "exponential")
    dynamic = config.flag("use_dynamic_shifting", False)
    return FlowEuler(
        config.integer("num_train_timesteps", 1000, least=2, most=MOST_STEPS),
        config.number("shift", 1.0, positive=True),
        None if not dynamic else "linear" if law == "linear" else "exponential",
        config.number("base_shift", 0.5),
        config.number("max_shift", 1.15),
        config.integer("base_image_seq_len", 256),
        config.integer("max_image_seq_len", 4096),
        config.optional_number("shift_terminal", positive=True),
        _spread(config),
        config.flag("stochastic_sampling", False),
    )


# The reference's class → what reads its configuration.
SAMPLERS: Mapping[str, Callable[[Config], Sampler]] = {
    "DDPMScheduler": _ddpm,
    "DDIMScheduler": _ddim,
    "PNDMScheduler": _plms,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _euler_ancestral,
    "DPMSolverMultistepScheduler": _dpm_solver,
    "LCMScheduler": _lcm,
    "FlowMatchEulerDiscreteScheduler": _flow,
}
