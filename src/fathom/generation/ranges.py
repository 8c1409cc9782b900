"""The numbers that each option of generation takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

from fathom.errors import RequestError


@dataclass(frozen=True, slots=True)
class Range:
    """The finite numbers that an option takes, both ends included; only whole ones if `whole`."""

    least: float
    most: float
    whole: bool = False

    def accepts(self, value: object) -> bool:
        """Tell whether a value is such a number. True and False are not numbers here."""
        kind = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        return value <= self.most and not value < self.least  # NaN fails the first

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.least:,} to {self.most:,}"


# The bounds of the penalties and of the bias are those of the OpenAI API.
RANGES: Mapping[str, Range] = {
    "temperature": Range(0, 100),
    "top_k": Range(0, 2**31, whole=True),
    "top_p": Range(0, 1),
    "min_p": Range(0, 1),
    "repetition_penalty": Range(0.01, 100),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "seed": Range(0, 2**63 - 1, whole=True),
}
BIAS = Range(-100, 100)
TOKEN = Range(0, 2**31, whole=True)
MAX_TOKENS = Range(1, 2**31, whole=True)
MIN_TOKENS = Range(0, 2**31, whole=True)
LOGPROBS = Range(0, 1000, whole=True)
REASONING = Range(0, 2**31, whole=True)
NGRAM = Range(0, 2**31, whole=True)
BEAMS = Range(1, 1000, whole=True)
PENALTY = Range(-100, 100)


def require(allowed: Range, name: str, value: object) -> None:
    """Raise RequestError, naming the option, unless it takes a value."""
    if not allowed.accepts(value):
        raise RequestError(f"{name} must be {allowed}, not {value!r}")
