"""One step out of the noise, for each way of taking it: arithmetic on planes, and nothing kept.

What a step needs of earlier ones is handed from step to step as a `Memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fathom.spec.diffusion_noise import (
    Bound,
    Ddim,
    Ddpm,
    DpmSolver,
    Euler,
    FlowEuler,
    Lcm,
    Plms,
    Prediction,
)
from fathom.tasks.diffusion.schedules import Schedule

SHARE_OF_DATA = 0.5  # the deviation of pictures that consistency models reckon with
FEW = 15  # steps; fewer end with one of the first order


@dataclass(frozen=True)
class Memory:
    """What earlier steps left: their predictions, newest last, how many there were, a picture."""

    predictions: tuple[Tensor, ...] = ()
    steps: int = 0
    planes: Tensor | None = None

    def after(self, prediction: Tensor, keep: int) -> Memory:
        """Return the memory after a step that predicted something."""
        kept = (*self.predictions, prediction)[-keep:]
        return Memory(kept, self.steps + 1, self.planes)


@dataclass(frozen=True)
class Taken:
    """What a step gives: planes with less noise, the picture that it expects, its memory."""

    planes: Tensor
    picture: Tensor
    memory: Memory


Draw = Callable[[], Tensor]  # noise of the planes' shape; called as often as it is needed


def enter(schedule: Schedule, index: int, planes: Tensor) -> Tensor:
    """Return planes as the denoiser is to see them before step `index`."""
    if isinstance(schedule.sampler, Euler):
        return planes / (schedule.sigmas[index] ** 2 + 1) ** 0.5
    return planes


def mix(schedule: Schedule, index: int, picture: Tensor, noise: Tensor) -> Tensor:
    """Return a picture with as much noise as step `index` begins with."""
    match schedule.sampler:
        case Euler():
            return picture + noise * schedule.sigmas[index]
        case FlowEuler():
            sigma = schedule.sigmas[index]
            return sigma * noise + (1 - sigma) * picture
        case DpmSolver():
            alpha, sigma = _split(schedule.sigmas[index])
            return alpha * picture + sigma * noise
        case _:
            left = schedule.shares[schedule.timesteps[index]]
            return left**0.5 * picture + (1 - left) ** 0.5 * noise


def step(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    """Return the planes after step `index`, in the type of the denoiser's `output`."""
    taken = _STEPS[type(schedule.sampler)](
        schedule, index, planes.float(), output.float(), memory, draw
    )
    return replace(taken, planes=taken.planes.to(output.dtype))


def _expected(
    prediction: Prediction, alpha: Tensor, sigma: Tensor, planes: Tensor, output: Tensor
) -> Tensor:
    """Return the picture in planes of ``alpha · picture + sigma · noise``."""
    match prediction:
        case "noise":
            return (planes - sigma * output) / alpha
        case "picture":
            return output
        case "velocity":
            return alpha * planes - sigma * output


def _noise(
    prediction: Prediction, alpha: Tensor, sigma: Tensor, planes: Tensor, output: Tensor
) -> Tensor:
    """Return the noise in such planes."""
    match prediction:
        case "noise":
            return output
        case "picture":
            return (planes - alpha * output) / sigma
        case "velocity":
            return alpha * output + sigma * planes


def _bounded(picture: Tensor, bound: Bound | None) -> Tensor:
    if bound is None:
        return picture
    if bound.quantile is None:
        return picture.clamp(-bound.most, bound.most)
    edge = torch.quantile(picture.abs().flatten(1), bound.quantile, dim=1)
    edge = edge.clamp(min=1, max=bound.most)[:, None, None, None]
    return picture.clamp(-edge, edge) / edge


def _left(schedule: Schedule, moment: int, ends_clean: bool) -> Tensor:
    """Return the share of the picture's square at a moment, or where it all ends."""
    if moment >= 0:
        return schedule.shares[moment]
    return torch.tensor(1.0) if ends_clean else schedule.shares[0]


def _following(schedule: Schedule, index: int) -> int:
    """Return the moment after a step; -1 after the last."""
    return int(schedule.timesteps[index + 1]) if index + 1 < schedule.steps else -1


def _ddpm(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler, moment = schedule.sampler, int(schedule.timesteps[index])
    assert isinstance(sampler, Ddpm)
    left = schedule.shares[moment]
    then = _left(schedule, _following(schedule, index), ends_clean=True)
    gone, gone_then, added = 1 - left, 1 - then, 1 - left / then
    picture = _expected(sampler.prediction, left**0.5, gone**0.5, planes, output)
    picture = _bounded(picture, sampler.bound)
    mean = then**0.5 * added / gone * picture + (left / then) ** 0.5 * gone_then / gone * planes
    if moment > 0:
        small = (gone_then / gone * added).clamp(min=1e-20)
        mean = mean + (added if sampler.variance == "large" else small) ** 0.5 * draw()
    return Taken(mean, picture, memory)


def _ddim(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler, moment = schedule.sampler, int(schedule.timesteps[index])
    assert isinstance(sampler, Ddim)
    left = schedule.shares[moment]
    before = moment - sampler.noising.steps // schedule.steps
    then = _left(schedule, before, sampler.ends_clean)
    alpha, sigma = left**0.5, (1 - left) ** 0.5
    picture = _expected(sampler.prediction, alpha, sigma, planes, output)
    noise = _noise(sampler.prediction, alpha, sigma, planes, output)
    picture = _bounded(picture, sampler.bound)
    return Taken(then**0.5 * picture + (1 - then) ** 0.5 * noise, picture, memory)


# How the last predictions are weighed, newest first (Adams and Bashforth's method).
_WEIGHTS: Mapping[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def _plms(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler, moment = schedule.sampler, int(schedule.timesteps[index])
    assert isinstance(sampler, Plms)
    stride = sampler.noising.steps // schedule.asked  # one moment is passed twice
    before = moment - stride
    if memory.steps == 1 and memory.planes is not None:  # the first step again, with a mean
        before, moment = moment, moment + stride
        mean, planes = (output + memory.predictions[-1]) / 2, memory.planes
        memory = Memory(memory.predictions, 2)
    else:
        memory = replace(memory.after(output, 4), planes=planes if memory.steps == 0 else None)
        newest = memory.predictions[::-1]
        weighed = zip(_WEIGHTS[len(newest)], newest, strict=True)
        mean = torch.stack([weight * each for weight, each in weighed]).sum(0)
    left = schedule.shares[moment]
    then = _left(schedule, before, sampler.ends_clean)
    noise = _noise(sampler.prediction, left**0.5, (1 - left) ** 0.5, planes, mean)
    divisor = left * (1 - then) ** 0.5 + (left * (1 - left) * then) ** 0.5
    moved = (then / left) ** 0.5 * planes - (then - left) * noise / divisor
    picture = (planes - (1 - left) ** 0.5 * noise) / left**0.5
    return Taken(moved, picture, memory)


def _euler(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler = schedule.sampler
    assert isinstance(sampler, Euler)
    sigma, then = schedule.sigmas[index], schedule.sigmas[index + 1]
    match sampler.prediction:
        case "noise":
            picture = planes - sigma * output
        case "picture":
            picture = output
        case "velocity":
            picture = planes / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
    direction = (planes - picture) / sigma
    if not sampler.ancestral:
        return Taken(planes + direction * (then - sigma), picture, memory)
    up = (then**2 * (sigma**2 - then**2) / sigma**2) ** 0.5
    down = (then**2 - up**2) ** 0.5
    return Taken(planes + direction * (down - sigma) + draw() * up, picture, memory)


def _split(ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much of picture and noise there is where noise to picture is a ratio."""
    alpha = 1 / (ratio**2 + 1) ** 0.5
    return alpha, ratio * alpha


def _logarithm(ratio: Tensor) -> Tensor:
    """Return the logarithm of picture to noise."""
    alpha, sigma = _split(ratio)
    return torch.log(alpha) - torch.log(sigma)


def _dpm_solver(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler, sigmas = schedule.sampler, schedule.sigmas
    assert isinstance(sampler, DpmSolver)
    alpha, sigma = _split(sigmas[index])
    picture = _expected(sampler.prediction, alpha, sigma, planes, output)
    memory = memory.after(_bounded(picture, sampler.bound), sampler.order)
    alpha_then, sigma_then = _split(sigmas[index + 1])
    width = _logarithm(sigmas[index + 1]) - _logarithm(sigmas[index])
    doubled = 2 * width if sampler.random else width
    weight = alpha_then * (1 - torch.exp(-doubled))
    shrunk = sigma_then / sigma * (torch.exp(-width) if sampler.random else 1.0)
    newest = memory.predictions[-1]
    moved = shrunk * planes + weight * newest
    if _second_order(sampler, schedule.steps, index, memory):
        earlier = _logarithm(sigmas[index]) - _logarithm(sigmas[index - 1])
        slope = (newest - memory.predictions[-2]) * width / earlier
        heun = alpha_then * ((torch.exp(-doubled) - 1) / doubled + 1)
        moved = moved + (weight / 2 if sampler.solver == "midpoint" else heun) * slope
    if sampler.random:
        moved = moved + sigma_then * torch.sqrt(1 - torch.exp(-2 * width)) * draw()
    return Taken(moved, newest, memory)


def _second_order(sampler: DpmSolver, steps: int, index: int, memory: Memory) -> bool:
    few = sampler.lower_at_end and steps < FEW
    ending = index == steps - 1 and (sampler.straight_at_end or few or sampler.ends_clean)
    return sampler.order == 2 and len(memory.predictions) == 2 and not ending


def _lcm(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler, moment = schedule.sampler, int(schedule.timesteps[index])
    assert isinstance(sampler, Lcm)
    left = schedule.shares[moment]
    picture = _expected(sampler.prediction, left**0.5, (1 - left) ** 0.5, planes, output)
    picture = _bounded(picture, sampler.bound)
    scaled = moment * sampler.scaling
    divisor = scaled**2 + SHARE_OF_DATA**2
    picture = scaled / divisor**0.5 * picture + SHARE_OF_DATA**2 / divisor * planes
    if index == schedule.steps - 1:
        return Taken(picture, picture, memory)
    then = _left(schedule, _following(schedule, index), sampler.ends_clean)
    return Taken(then**0.5 * picture + (1 - then) ** 0.5 * draw(), picture, memory)


def _flow(
    schedule: Schedule, index: int, planes: Tensor, output: Tensor, memory: Memory, draw: Draw
) -> Taken:
    sampler = schedule.sampler
    assert isinstance(sampler, FlowEuler)
    sigma, then = schedule.sigmas[index], schedule.sigmas[index + 1]
    picture = planes - sigma * output
    if sampler.random:
        return Taken((1 - then) * picture + then * draw(), picture, memory)
    return Taken(planes + (then - sigma) * output, picture, memory)


_STEPS: Mapping[type, Callable[..., Taken]] = {
    Ddpm: _ddpm,
    Ddim: _ddim,
    Plms: _plms,
    Euler: _euler,
    DpmSolver: _dpm_solver,
    Lcm: _lcm,
    FlowEuler: _flow,
}
