"""How noise was mixed with pictures in training, and how it is taken away again, step by step.

Each way of taking it away is a value of its own, with the switches that it has. What they mean in
numbers is worked out in `tasks.diffusion`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Law: TypeAlias = Literal["linear", "scaled", "cosine", "sigmoid"]
Prediction: TypeAlias = Literal["noise", "picture", "velocity"]
Spacing: TypeAlias = Literal["linspace", "leading", "trailing"]
Spread: TypeAlias = Literal["trained", "karras", "exponential"]


@dataclass(frozen=True)
class Noising:
    """The share of noise that each of `steps` moments of training adds (Ho et al., 2020).

    It rises from `first` to `last` by a law, or is `stated`. With `ends_in_noise` nothing of the
    picture is left at the last (Lin et al., 2023, arXiv 2305.08891).
    """

    steps: int = 1000
    first: float = 0.0001
    last: float = 0.02
    law: Law = "linear"
    stated: tuple[float, ...] = ()
    ends_in_noise: bool = False


@dataclass(frozen=True)
class Bound:
    """Where a predicted picture is cut off: at `most`, or by a quantile of its own values.

    With a `quantile` (Saharia et al., 2022, arXiv 2205.11487), what is beyond it is cut and the
    rest scaled to one; the cut is at least 1 and at `most` this.
    """

    most: float
    quantile: float | None = None


@dataclass(frozen=True)
class Timing:
    """Which moments of training are taken: their spacing, and how far they are moved."""

    spacing: Spacing
    offset: int = 0


@dataclass(frozen=True)
class Ddpm:
    """A random step back along the way of training (Ho et al., 2020, arXiv 2006.11239)."""

    noising: Noising
    prediction: Prediction
    timing: Timing
    bound: Bound | None = None
    variance: Literal["small", "large"] = "small"


@dataclass(frozen=True)
class Ddim:
    """A step along a way without chance (Song et al., 2020, arXiv 2010.02502)."""

    noising: Noising
    prediction: Prediction
    timing: Timing
    bound: Bound | None = None
    ends_clean: bool = True  # else with as much noise as the first moment of training has


@dataclass(frozen=True)
class Plms:
    """DDIM with a mean of the last four predictions (Liu et al., 2022, arXiv 2202.09778)."""

    noising: Noising
    prediction: Prediction
    timing: Timing
    ends_clean: bool = False


@dataclass(frozen=True)
class Euler:
    """A straight step by the amount of noise (Karras et al., 2022, arXiv 2206.00364).

    `ancestral` steps go further and add noise again. A `continuous` one tells the denoiser a
    quarter of the logarithm of the noise instead of a moment of training.
    """

    noising: Noising
    prediction: Prediction
    timing: Timing
    spread: Spread = "trained"
    ancestral: bool = False
    continuous: bool = False
    logarithmic: bool = False  # between the noise of first and last
    least: float | None = None  # noise, and the most, where they are not those of training
    most: float | None = None
    ends_clean: bool = True


@dataclass(frozen=True)
class DpmSolver:
    """DPM-Solver++ in one or two steps (Lu et al., 2022, arXiv 2211.01095).

    A `random` one solves the equation with chance in it.
    """

    noising: Noising
    prediction: Prediction
    timing: Timing
    bound: Bound | None = None
    order: Literal[1, 2] = 2
    solver: Literal["midpoint", "heun"] = "midpoint"
    random: bool = False
    lower_at_end: bool = True  # the last of few steps is of the first order
    straight_at_end: bool = False  # the last is, however many there are
    spread: Spread = "trained"
    ends_clean: bool = True
    least_logarithm: float | None = None  # of the ratio of picture to noise; earlier is left out


@dataclass(frozen=True)
class Lcm:
    """Straight to the picture, and back to a little less noise (Luo et al., 2023).

    arXiv 2310.04378. `taught` steps were those of the teacher.
    """

    noising: Noising
    prediction: Prediction
    taught: int = 50
    scaling: float = 10.0  # of a moment, where what came in and what was found are mixed
    bound: Bound | None = None
    ends_clean: bool = True


@dataclass(frozen=True)
class FlowEuler:
    """A straight step between noise and picture (Esser et al., 2024, arXiv 2403.03206).

    `shift` moves the moments towards noise. A `dynamic` one follows from the size of the picture:
    linearly from `base` at `base_length` tokens to `most` at `most_length`.
    """

    steps: int = 1000
    shift: float = 1.0
    dynamic: Literal["exponential", "linear"] | None = None
    base: float = 0.5
    most: float = 1.15
    base_length: int = 256
    most_length: int = 4096
    terminal: float | None = None  # what the moments are stretched to end at
    spread: Spread = "trained"
    random: bool = False


Sampler: TypeAlias = Ddpm | Ddim | Plms | Euler | DpmSolver | Lcm | FlowEuler
