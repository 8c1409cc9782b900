"""Which moments a picture passes on its way out of the noise, and how much noise each has.

Worked out once for a number of steps; after that a step is arithmetic (`steps.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import cos, exp, log, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fathom.errors import RequestError
from fathom.spec.diffusion_noise import (
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    FlowEuler,
    Lcm,
    Noising,
    Plms,
    Sampler,
    Spread,
    Timing,
)

Numbers = NDArray[np.float64]

NEARLY_NONE = 2.0**-24  # of the picture, where a ratio of noise to it must stay finite
EXPONENT = 7.0  # Karras's ρ


@dataclass(frozen=True)
class Schedule:
    """The moments of one way out of the noise.

    `timesteps` (steps) are told to the denoiser. `sigmas` (steps + 1) are the noise in units of
    the picture, for those that count so; `shares` (training steps) are how much of the picture's
    square is left, for those that count by moments of training. `start` is the deviation of the
    noise to begin with.
    """

    sampler: Sampler
    timesteps: Tensor
    sigmas: Tensor
    shares: Tensor
    start: float = 1.0

    @property
    def steps(self) -> int:
        """Passes of the denoiser."""
        return len(self.timesteps)

    @property
    def asked(self) -> int:
        """Steps as they were asked for: where one moment is passed twice, it counts once."""
        return max(self.steps - isinstance(self.sampler, Plms), 1)


def schedule(sampler: Sampler, steps: int, *, tokens: int = 0) -> Schedule:
    """Return the moments of `steps` steps; `tokens` is the size of the picture to the denoiser.

    Raises:
        RequestError: for fewer steps than one, or more than there are to choose from.
    """
    most = sampler.taught if isinstance(sampler, Lcm) else _trained(sampler)
    if not 1 <= steps <= most:
        raise RequestError(f"{steps} steps are not possible: this model takes 1 to {most:,}")
    return _MAKERS[type(sampler)](sampler, steps, tokens)


def _trained(sampler: Sampler) -> int:
    return sampler.steps if isinstance(sampler, FlowEuler) else sampler.noising.steps


def shares_left(noising: Noising, *, finite: bool = False) -> Tensor:
    """Return how much of the picture's square each moment leaves: (training steps) float32.

    With `finite` a last moment without any keeps a trace, so that ratios to it stay finite.
    """
    added = _rescaled(_added(noising)) if noising.ends_in_noise else _added(noising)
    left = torch.cumprod(1.0 - added, dim=0)
    if noising.ends_in_noise and finite:
        left[-1] = NEARLY_NONE
    return left


def _added(noising: Noising) -> Tensor:
    """Return the share of noise that each moment adds."""
    steps = noising.steps
    if noising.stated:
        return torch.tensor(noising.stated, dtype=torch.float32)
    match noising.law:
        case "linear":
            return torch.linspace(noising.first, noising.last, steps, dtype=torch.float32)
        case "scaled":
            roots = (noising.first**0.5, noising.last**0.5)
            return torch.linspace(*roots, steps, dtype=torch.float32) ** 2
        case "sigmoid":
            rising = torch.sigmoid(torch.linspace(-6, 6, steps))
            return rising * (noising.last - noising.first) + noising.first
        case "cosine":
            left = [cos((i / steps + 0.008) / 1.008 * pi / 2) ** 2 for i in range(steps + 1)]
            pairs = pairwise(left)
            return torch.tensor([min(1 - after / before, 0.999) for before, after in pairs])


def _rescaled(added: Tensor) -> Tensor:
    """Move the roots of what is left so that the last is zero and the first stays."""
    roots = torch.cumprod(1.0 - added, dim=0).sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    left = ((roots - last) * (first / (first - last))) ** 2
    return 1 - torch.cat((left[:1], left[1:] / left[:-1]))


def _spaced(timing: Timing, trained: int, steps: int) -> Numbers:
    """Return moments of training from the last to the first."""
    match timing.spacing:
        case "linspace":
            return np.linspace(0, trained - 1, steps)[::-1]
        case "leading":
            return (np.arange(steps) * (trained // steps))[::-1].astype(float) + timing.offset
        case "trailing":
            return np.round(np.arange(trained, 0, -trained / steps)) - 1


def _by_moments(sampler: Ddpm | Ddim, steps: int, tokens: int) -> Schedule:
    moments = _spaced(sampler.timing, sampler.noising.steps, steps).round()
    return _of_moments(sampler, moments)


def _of_moments(sampler: Ddpm | Ddim | Plms | Lcm, moments: Numbers) -> Schedule:
    shares = shares_left(sampler.noising)
    last = int(moments.max(initial=0))
    if last >= len(shares):
        raise RequestError(
            f"moment {last:,} is beyond the {len(shares):,} of training; take fewer steps"
        )
    timesteps = torch.from_numpy(moments.astype(np.int64))
    return Schedule(sampler, timesteps, torch.empty(0), shares)


def _plms(sampler: Plms, steps: int, tokens: int) -> Schedule:
    """The second moment is passed twice: there are too few predictions for a mean before."""
    moments = _spaced(sampler.timing, sampler.noising.steps, steps).round()
    return _of_moments(sampler, np.concatenate((moments[:1], moments[1:2], moments[1:])))


def _lcm(sampler: Lcm, steps: int, tokens: int) -> Schedule:
    stride = sampler.noising.steps // sampler.taught
    taught = (np.arange(1, sampler.taught + 1) * stride - 1)[::-1]
    chosen = np.floor(np.linspace(0, len(taught), steps, endpoint=False)).astype(np.int64)
    return _of_moments(sampler, taught[chosen].astype(float))


def _ratios(shares: Tensor) -> Numbers:
    """Return the noise of each moment of training in units of the picture."""
    found: Numbers = (((1 - shares) / shares) ** 0.5).numpy().astype(np.float64)
    return found


def _euler(sampler: Euler, steps: int, tokens: int) -> Schedule:
    shares = shares_left(sampler.noising, finite=True)
    trained = _ratios(shares)
    moments = _spaced(sampler.timing, sampler.noising.steps, steps)
    moments = moments if sampler.timing.spacing == "linspace" else moments.round()
    if sampler.logarithmic:
        sigmas = np.exp(np.linspace(log(trained[-1]), log(trained[0]), steps + 1))
    else:
        sigmas = np.interp(moments, np.arange(len(trained)), trained)
    if sampler.spread != "trained":
        sigmas = _spread(
            sampler.spread, sampler.most or sigmas[0], sampler.least or sigmas[-1], steps
        )
        moments = _moments_of(sigmas, trained)
    if sampler.continuous:
        moments = 0.25 * np.log(sigmas)
    ended = _ended(sigmas, 0.0 if sampler.ends_clean else trained[0])
    most = float(ended.max())
    straight = sampler.timing.spacing != "leading"
    return Schedule(
        sampler,
        torch.from_numpy(moments.astype(np.float32)),
        ended,
        shares,
        most if straight else (most**2 + 1) ** 0.5,
    )


def _dpm_solver(sampler: DpmSolver, steps: int, tokens: int) -> Schedule:
    shares = shares_left(sampler.noising, finite=True)
    trained = _ratios(shares)
    moments = _solver_moments(sampler, shares, steps)
    if sampler.spread == "trained":
        sigmas = np.interp(moments, np.arange(len(trained)), trained)
    else:
        sigmas = _spread(sampler.spread, trained[-1], trained[0], steps)
        moments = _moments_of(sigmas, trained)
        if sampler.spread == "karras" and sampler.noising.law != "cosine":
            moments = moments.round()
    ended = _ended(sigmas, 0.0 if sampler.ends_clean else trained[0])
    return Schedule(sampler, torch.from_numpy(moments.astype(np.int64)), ended, shares)


def _solver_moments(sampler: DpmSolver, shares: Tensor, steps: int) -> Numbers:
    """Return moments of which the last is left out, for there the picture is."""
    last, trained = len(shares), sampler.noising.steps
    if sampler.least_logarithm is not None:
        logarithms = torch.log(shares.sqrt()) - torch.log((1 - shares).sqrt())
        last -= int(torch.searchsorted(logarithms.flip(0), sampler.least_logarithm))
    match sampler.timing.spacing:
        case "linspace":
            return np.linspace(0, last - 1, steps + 1).round()[::-1][:-1]
        case "leading":
            falling = (np.arange(steps + 1) * (last // (steps + 1)))[::-1][:-1]
            return falling.astype(float) + sampler.timing.offset
        case "trailing":
            return np.arange(last, 0, -trained / steps).round() - 1


def _flow(sampler: FlowEuler, steps: int, tokens: int) -> Schedule:
    trained = sampler.steps

    def shifted(moments: Numbers) -> Numbers:
        return sampler.shift * moments / (1 + (sampler.shift - 1) * moments)

    ends = np.array([1.0, 1 / trained])
    first, last = ends if sampler.dynamic else shifted(ends)
    moments = np.linspace(first, last, steps)
    moments = _dynamic(sampler, moments, tokens) if sampler.dynamic else shifted(moments)
    if sampler.terminal is not None and moments[-1] < 1:
        moments = 1 - (1 - moments) / ((1 - moments[-1]) / (1 - sampler.terminal))
    if sampler.spread != "trained":
        moments = _spread(sampler.spread, moments[0], moments[-1], steps)
    sigmas = _ended(moments, 0.0)
    return Schedule(sampler, sigmas[:-1] * trained, sigmas, torch.empty(0))


def _dynamic(sampler: FlowEuler, moments: Numbers, tokens: int) -> Numbers:
    """Move moments towards noise, the further the larger the picture."""
    slope = (sampler.most - sampler.base) / (sampler.most_length - sampler.base_length)
    shift = sampler.base + slope * (tokens - sampler.base_length)
    factor = exp(shift) if sampler.dynamic == "exponential" else shift
    return factor / (factor + (1 / moments - 1))


def _spread(spread: Spread, most: float, least: float, steps: int) -> Numbers:
    """Return noises between the most and the least, by a law of their own."""
    if spread == "exponential":
        return np.exp(np.linspace(log(most), log(least), steps))
    high, low = most ** (1 / EXPONENT), least ** (1 / EXPONENT)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** EXPONENT


def _moments_of(sigmas: Numbers, trained: Numbers) -> Numbers:
    """Return the moments of training that have so much noise, between two where none has."""
    logarithms = np.log(trained.astype(np.float32))  # as exact as the reference's, which cuts off
    return np.interp(np.log(sigmas), logarithms, np.arange(len(trained)))


def _ended(sigmas: Numbers, last: float) -> Tensor:
    return torch.from_numpy(np.append(sigmas, last).astype(np.float32))


_MAKERS: Mapping[type, Callable[..., Schedule]] = {
    Ddpm: _by_moments,
    Ddim: _by_moments,
    Plms: _plms,
    Euler: _euler,
    DpmSolver: _dpm_solver,
    Lcm: _lcm,
    FlowEuler: _flow,
}
