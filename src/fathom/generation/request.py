"""What is asked for: a prompt as token ids, how to choose tokens, and when to stop. No torch here.

Everything is checked when it is made, so that a request that exists makes sense by itself. What
depends on the model (its context, its vocabulary) the engine checks before any work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real

from fathom.errors import ConfigError, RequestError, nearest


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
LOGPROBS = Range(0, 1000, whole=True)
REASONING = Range(0, 2**31, whole=True)

COLDEST = 1e-6  # a temperature below this is taken as 0: float32 scores would overflow
_NARROWING = ("top_k", "top_p", "min_p")
_PUBLISHED = ("temperature", *_NARROWING, "repetition_penalty")


def _require(allowed: Range, name: str, value: object) -> None:
    if not allowed.accepts(value):
        raise RequestError(f"{name} must be {allowed}, not {value!r}")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen from the model's scores, in the order of the fields below.

    `logit_bias` is added to the scores of its tokens. `repetition_penalty` divides positive and
    multiplies negative scores of tokens that the prompt or the answer holds (Keskar et al.,
    2019). `presence_penalty` is subtracted once, `frequency_penalty` per occurrence, for tokens
    of the answer. Scores are then divided by `temperature`; at 0 the best token is taken and
    the rest is unused. `top_k` keeps the k best (0: all, ties with the last one stay), `top_p`
    the fewest that hold this probability (Holtzman et al., 2020), `min_p` those with at least
    this share of the best one's probability (Nguyen et al., 2024). `seed` None draws a new one.

    Raises:
        RequestError: naming the field and its range.
    """

    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if value is None and name == "seed":
                continue
            _require(allowed, name, value)
        if not isinstance(self.logit_bias, Mapping):
            raise RequestError(f"logit_bias must map token ids to {BIAS}")
        for token, bias in self.logit_bias.items():
            _require(TOKEN, "a token id in logit_bias", token)
            _require(BIAS, f"logit_bias of token {token}", bias)

    @property
    def greedy(self) -> bool:
        """Whether the best token is taken each time, without chance."""
        return self.temperature < COLDEST

    @classmethod
    def published(
        cls, config: Mapping[str, object], where: str = "generation_config.json"
    ) -> Sampling:
        """Return how a model's publisher wants tokens chosen, read from its generation config.

        Greedy unless it says ``do_sample``, as publishers mean it; then the temperature is 1
        and nothing is left out unless it says otherwise. Nulls count as absent.

        Raises:
            ConfigError: for a number out of range.
        """
        stated = {name: config[name] for name in _PUBLISHED if config.get(name) is not None}
        if config.get("do_sample") is True:
            stated.setdefault("temperature", 1.0)
        else:
            stated = {name: stated[name] for name in ("repetition_penalty",) if name in stated}
        try:
            return cls(**stated)  # type: ignore[arg-type]  # checked there
        except RequestError as error:
            raise ConfigError(f"{where}: {error}; correct the file") from error

    def changed(self, options: Mapping[str, object]) -> Sampling:
        """Return this with options of a request in place of its own; None counts as not given.

        Whoever narrows the choice (top_k, top_p, min_p) wants a choice: on a greedy default
        and without a temperature of their own they get temperature 1.

        Raises:
            RequestError: for an unknown option or a value out of range.
        """
        known = {part.name: getattr(self, part.name) for part in fields(self)}
        given = {name: value for name, value in options.items() if value is not None}
        for name in given:
            if name not in known:
                raise RequestError(f"there is no sampling option '{name}'.{nearest(name, known)}")
        if self.greedy and any(name in given for name in _NARROWING):
            given.setdefault("temperature", 1.0)
        return Sampling(**{**known, **given})


@dataclass(frozen=True)
class Request:
    """One sequence to continue.

    Attributes:
        prompt: token ids, at least one.
        max_tokens: tokens that the answer may have; None for what the context has room for.
        sampling: how each token is chosen.
        stop: texts before which the answer ends; a single one may be given as a string. In
            reasoning they end nothing.
        end: ids that end the answer; None for the tokenizer's own, empty for none at all.
        logprobs: how many of the likeliest tokens to list at each step beside the chosen one;
            None lists nothing, not even that.
        reasoning_budget: tokens of reasoning after which it is ended, so that the answer begins;
            None for as many as the model takes.

    Raises:
        RequestError: when a part makes no sense, naming it.
    """

    prompt: Sequence[int]
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    stop: Sequence[str] = ()
    end: frozenset[int] | None = None
    logprobs: int | None = None
    reasoning_budget: int | None = None

    def __post_init__(self) -> None:
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        object.__setattr__(self, "prompt", tuple(self.prompt))
        if not self.prompt:
            raise RequestError("the prompt is empty; give some text")
        for token in self.prompt:
            _require(TOKEN, "a token id of the prompt", token)
        if not all(isinstance(text, str) and text for text in stop):
            raise RequestError("a stop text must be a string of at least one character")
        if self.max_tokens is not None:
            _require(MAX_TOKENS, "max_tokens", self.max_tokens)
        if self.logprobs is not None:
            _require(LOGPROBS, "logprobs", self.logprobs)
        if self.reasoning_budget is not None:
            _require(REASONING, "reasoning_budget", self.reasoning_budget)

    @classmethod
    def asked(
        cls, prompt: Sequence[int], defaults: Sampling, options: Mapping[str, object]
    ) -> Request:
        """Return a request from options by name, its own and those of `Sampling` in one mapping.

        What is not given, or None, is as in `defaults` and in this class.

        Raises:
            RequestError: for an unknown option, with the nearest names, or a bad value.
        """
        given = {name: value for name, value in options.items() if value is not None}
        own = {part.name for part in fields(cls)} - {"prompt", "sampling"}
        known = own | {part.name for part in fields(Sampling)}
        for name in given.keys() - known:
            raise RequestError(f"there is no option '{name}'.{nearest(name, sorted(known))}")
        sampling = defaults.changed({name: given[name] for name in given.keys() - own})
        stated = {name: given[name] for name in given.keys() & own}
        return cls(prompt, sampling=sampling, **stated)  # type: ignore[arg-type]  # checked there

    def check_vocabulary(self, vocabulary: int) -> None:
        """Raise RequestError unless every id and count exists in a vocabulary of that size."""
        highest = max(self.prompt)
        if highest >= vocabulary:
            raise RequestError(
                f"the prompt holds token {highest:,}, but the model knows {vocabulary:,} tokens; "
                "use the tokenizer of this model"
            )
        for token in self.sampling.logit_bias:
            if token >= vocabulary:
                raise RequestError(
                    f"logit_bias names token {token:,}, but the model knows {vocabulary:,} tokens"
                )
        if self.logprobs is not None and self.logprobs > vocabulary:
            raise RequestError(
                f"logprobs asks for {self.logprobs:,} tokens, but the model knows {vocabulary:,}"
            )
