"""What is asked for: a prompt as token ids, how to choose tokens, and when to stop. No torch here.

Everything is checked when it is made, so that a request that exists makes sense by itself. What
depends on the model (its context, its vocabulary) the engine checks before any work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from fathom.errors import ConfigError, RequestError, nearest
from fathom.generation.constraints import Beams, Constraints
from fathom.generation.forms import KINDS, Form
from fathom.generation.inserts import Insert, check_inserts
from fathom.generation.ranges import (
    BIAS,
    LOGPROBS,
    MAX_TOKENS,
    RANGES,
    REASONING,
    TOKEN,
    require,
)

COLDEST = 1e-6  # a temperature below this is taken as 0: float32 scores would overflow
_NARROWING = ("top_k", "top_p", "min_p")
_PUBLISHED = ("temperature", *_NARROWING, "repetition_penalty")


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
            require(allowed, name, value)
        if not isinstance(self.logit_bias, Mapping):
            raise RequestError(f"logit_bias must map token ids to {BIAS}")
        for token, bias in self.logit_bias.items():
            require(TOKEN, "a token id in logit_bias", token)
            require(BIAS, f"logit_bias of token {token}", bias)

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
        constraints: what may not be written.
        form: what the answer must look like, after what is thought before it; None for anything.
        beams: how many ways of writing are followed at once, without chance.
        stop: texts before which the answer ends; a single one may be given as a string. In
            reasoning they end nothing.
        end: ids that end the answer; None for the tokenizer's own, empty for none at all.
        logprobs: how many of the likeliest tokens to list at each step beside the chosen one;
            None lists nothing, not even that.
        reasoning_budget: tokens of reasoning after which it is ended, so that the answer begins;
            None for as many as the model takes.
        dictated: ids with which the answer begins, whatever their scores: with `logprobs` it tells
            how likely the model holds a text.
        spelled: special tokens that show in the text, such as those that mark a call of a tool.
        inserts: vectors that stand in places of the prompt: pictures, sound, frames of a video.

    Raises:
        RequestError: when a part makes no sense, naming it.
    """

    prompt: Sequence[int]
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    constraints: Constraints = field(default_factory=Constraints)
    beams: Beams = field(default_factory=Beams)
    form: Form | None = None
    stop: Sequence[str] = ()
    end: frozenset[int] | None = None
    logprobs: int | None = None
    reasoning_budget: int | None = None
    dictated: Sequence[int] = ()
    spelled: frozenset[int] = frozenset()
    inserts: Sequence[Insert] = ()

    def __post_init__(self) -> None:
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        object.__setattr__(self, "prompt", tuple(self.prompt))
        object.__setattr__(self, "dictated", tuple(self.dictated))
        object.__setattr__(self, "spelled", frozenset(self.spelled))
        if not self.prompt:
            raise RequestError("the prompt is empty; give some text")
        for token in (*self.prompt, *self.dictated):
            require(TOKEN, "a token id of the prompt", token)
        if not all(isinstance(text, str) and text for text in stop):
            raise RequestError("a stop text must be a string of at least one character")
        if self.max_tokens is not None:
            require(MAX_TOKENS, "max_tokens", self.max_tokens)
        if self.logprobs is not None:
            require(LOGPROBS, "logprobs", self.logprobs)
        if self.reasoning_budget is not None:
            require(REASONING, "reasoning_budget", self.reasoning_budget)
        object.__setattr__(self, "inserts", tuple(self.inserts))
        check_inserts(self.inserts, len(self.prompt))
        self._check_beams()

    def _check_beams(self) -> None:
        """Refuse what has no meaning for several sequences at once."""
        if self.beams.beams == 1:
            return
        alone = {
            "a temperature above 0": not self.sampling.greedy,
            "logprobs": self.logprobs is not None,
            "a form of the answer": self.form is not None,
            "reasoning_budget": self.reasoning_budget is not None,
        }
        for option, asked in alone.items():
            if asked:
                raise RequestError(
                    f"{option} and {self.beams.beams} beams do not go together; give beams=1"
                )

    @classmethod
    def asked(
        cls,
        prompt: Sequence[int],
        defaults: Sampling,
        options: Mapping[str, object],
        *,
        constraints: Constraints | None = None,
        beams: Beams | None = None,
    ) -> Request:
        """Return a request from options by name, its own and those of its parts in one mapping.

        What is not given, or None, is as in the defaults and in this class. A form is given by
        its kind: `schema`, `regex`, `choice` or `grammar`.

        Raises:
            RequestError: for an unknown option, with the nearest names, or a bad value.
        """
        given = {name: value for name, value in options.items() if value is not None}
        parts = (defaults, constraints or Constraints(), beams or Beams())
        theirs = [{each.name for each in fields(part)} for part in parts]
        own = {part.name for part in fields(cls)} - {"prompt", "sampling", "constraints", "form"}
        own -= {"beams"}  # which names a number of them: the part's own
        known = own.union(KINDS, *theirs)
        for name in given.keys() - known:
            raise RequestError(f"there is no option '{name}'.{nearest(name, sorted(known))}")
        chosen = [{name: given[name] for name in given.keys() & names} for names in theirs]
        stated = {name: given[name] for name in given.keys() & own}
        return cls(
            prompt,
            sampling=defaults.changed(chosen[0]),
            constraints=replace(parts[1], **chosen[1]),  # type: ignore[arg-type]
            beams=replace(parts[2], **chosen[2]),  # type: ignore[arg-type]
            form=Form.asked(given),
            **stated,  # type: ignore[arg-type]  # checked there, as those are
        )

    def check_vocabulary(self, vocabulary: int) -> None:
        """Raise RequestError unless every id and count exists in a vocabulary of that size."""
        highest = max((*self.prompt, *self.dictated))
        if highest >= vocabulary:
            raise RequestError(
                f"the prompt holds token {highest:,}, but the model knows {vocabulary:,} tokens; "
                "use the tokenizer of this model"
            )
        for option, tokens in (
            ("logit_bias", self.sampling.logit_bias),
            ("what may not be written", self.constraints.tokens),
        ):
            for token in tokens:
                if token >= vocabulary:
                    raise RequestError(
                        f"{option} names token {token:,}, but the model knows {vocabulary:,}"
                        " tokens; use the tokenizer of this model"
                    )
        if self.logprobs is not None and self.logprobs > vocabulary:
            raise RequestError(
                f"logprobs asks for {self.logprobs:,} tokens, but the model knows {vocabulary:,};"
                " ask for fewer"
            )
