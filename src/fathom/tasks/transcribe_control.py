"""The tokens that steer a model of speech: what opens a transcript, what stands for a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fathom.errors import ConfigError, RequestError, nearest
from fathom.tasks.languages import CODES, NAMES

SECONDS_PER_STEP = 0.02  # between one time and the next that there is a token for
TASKS = ("transcribe", "translate")
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")


class Vocabulary(Protocol):
    """Where a token is looked up that a configuration does not number."""

    def token_to_id(self, token: str) -> int | None: ...


@dataclass(frozen=True)
class Control:
    """What a publisher states about writing transcripts.

    Attributes:
        start: opens a transcript; `end` closes one, and all text has smaller ids than it.
        times: the token of 0.00 s; those of later times follow it. `no_times`, before it, asks
            for text alone.
        previous: opens what was said before.
        silence: the token whose probability at the start says that nobody speaks.
        languages: token by code, empty for a model of English alone.
        tasks: token of "transcribe" and "translate", as far as there are such.
        forced: what stands after the start in older files, where nobody asks for anything.
        never, never_first: tokens that are not written, or not as the first.
        latest_first: the latest time that a transcript may begin with, in steps.
        heads: layer and head of those whose look tells when a word was said.
        filtered: width of the median by which that look is smoothed.
    """

    start: int
    end: int
    no_times: int | None = None
    previous: int | None = None
    languages: Mapping[str, int] | None = None
    tasks: Mapping[str, int] | None = None
    forced: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    never_first: tuple[int, ...] = ()
    latest_first: int | None = None
    heads: tuple[tuple[int, int], ...] = ()
    filtered: int = 7

    @property
    def times(self) -> int | None:
        return None if self.no_times is None else self.no_times + 1

    @property
    def silence(self) -> int | None:
        return None if self.no_times is None else self.no_times - 1

    @classmethod
    def published(
        cls,
        config: Mapping[str, object],
        generation: Mapping[str, object],
        vocabulary: Vocabulary,
    ) -> Control:
        """Read it from ``generation_config.json``, or else ``config.json`` and the vocabulary.

        Raises:
            ConfigError: for a token that is needed and nobody states, or one out of range.
        """
        told = _Told({**config, **{k: v for k, v in generation.items() if v is not None}})
        multilingual = told.values.get("is_multilingual") is not False
        languages = told.tokens("lang_to_id") or _listed(vocabulary)
        tasks = told.tokens("task_to_id") or {
            task: id for task in TASKS if (id := vocabulary.token_to_id(f"<|{task}|>")) is not None
        }
        filtered = told.whole("median_filter_width")
        return cls(
            start=told.needed("decoder_start_token_id"),
            end=told.needed("eos_token_id"),
            no_times=told.whole("no_timestamps_token_id", vocabulary, "<|notimestamps|>"),
            previous=told.whole("prev_sot_token_id", vocabulary, "<|startofprev|>"),
            languages={_code(name): id for name, id in languages.items()} if multilingual else {},
            tasks=tasks if multilingual else {},
            forced=told.forced(),
            never=told.several("suppress_tokens"),
            never_first=told.several("begin_suppress_tokens"),
            latest_first=told.whole("max_initial_timestamp_index"),
            heads=told.pairs("alignment_heads"),
            filtered=7 if filtered is None else filtered,
        )

    def check(self, vocabulary: int, layers: int, heads: int) -> None:
        """Refuse tokens and heads that the model does not have.

        Raises:
            ConfigError: naming the number.
        """
        named = (self.start, self.end, self.no_times, self.previous, *self.forced)
        known = [*(self.languages or {}).values(), *(self.tasks or {}).values()]
        for token in (*named, *known, *self.never, *self.never_first):
            if token is not None and not 0 <= token < vocabulary:
                raise ConfigError(
                    f"generation_config.json names token {token:,}; the model has {vocabulary:,}"
                )
        for layer, head in self.heads:
            if not (0 <= layer < layers and 0 <= head < heads):
                raise ConfigError(
                    f"generation_config.json names head {head} of layer {layer}; the model has"
                    f" {layers} layers of {heads}"
                )
        if self.filtered < 1 or self.filtered % 2 == 0:
            raise ConfigError(f"'median_filter_width' must be odd, not {self.filtered}")

    def language(self, asked: str) -> str:
        """Return the code of a language, asked for by its code or its English name.

        Raises:
            RequestError: the model does not know it, or knows English alone.
        """
        code = asked.strip().casefold()
        code = CODES.get(code, code)
        if not self.languages:
            if code == "en":
                return code
            raise RequestError("this model was made for English alone; leave the language out")
        if code not in self.languages:
            known = sorted({*self.languages, *(NAMES.get(c, c) for c in self.languages)})
            raise RequestError(
                f"this model does not know the language '{asked[:40]}'.{nearest(asked, known)}"
                f" It knows {', '.join(sorted(self.languages))}"
            )
        return code

    def opening(self, language: str | None, task: str | None, *, timed: bool) -> tuple[int, ...]:
        """Return the tokens that open a transcript in a language, by its code.

        Raises:
            RequestError: for a task that the model does not have, or times that it cannot write.
        """
        if timed and self.no_times is None:
            raise RequestError("this model has no tokens for times; ask without timestamps")
        if task not in (None, *TASKS):
            raise RequestError(f"the task must be one of {', '.join(TASKS)}, not {task!r}")
        if task == "translate" and "translate" not in (self.tasks or {}):
            raise RequestError("this model was not made to translate; take a multilingual one")
        chosen = [] if language is None else [(self.languages or {}).get(language)]
        chosen.append((self.tasks or {}).get(task or "transcribe"))
        chosen.append(None if timed else self.no_times)
        return self.start, *(token for token in chosen if token is not None)


@dataclass(frozen=True)
class _Told:
    """Two configurations as one, with typed questions."""

    values: Mapping[str, object]

    def whole(self, key: str, vocabulary: Vocabulary | None = None, token: str = "") -> int | None:
        """Return a whole number, or else the id that the vocabulary has for a token."""
        value = self.values.get(key)
        if value is None:
            return None if vocabulary is None else vocabulary.token_to_id(token)
        if type(value) is not int:
            raise ConfigError(f"generation_config.json: '{key}' must be a whole number")
        return value

    def needed(self, key: str) -> int:
        value = self.values.get(key)
        found = value[0] if isinstance(value, list) and value else value
        if type(found) is not int:
            raise ConfigError(
                f"neither generation_config.json nor config.json names '{key}'; take both from the"
                " original model"
            )
        return found

    def several(self, key: str) -> tuple[int, ...]:
        value = self.values.get(key)
        listed = value if isinstance(value, Sequence) else ()
        if any(type(each) is not int for each in listed):
            raise ConfigError(f"generation_config.json: '{key}' must be a list of whole numbers")
        return tuple(each for each in listed if each >= 0)

    def tokens(self, key: str) -> dict[str, int]:
        value = self.values.get(key)
        listed = value if isinstance(value, Mapping) else {}
        if any(type(each) is not int for each in listed.values()):
            raise ConfigError(f"generation_config.json: '{key}' must map to whole numbers")
        return {str(name): id for name, id in listed.items()}

    def pairs(self, key: str) -> tuple[tuple[int, int], ...]:
        value = self.values.get(key)
        listed = value if isinstance(value, list) else []
        for pair in listed:
            if not isinstance(pair, list) or [type(each) for each in pair] != [int, int]:
                raise ConfigError(f"generation_config.json: '{key}' must be pairs of numbers")
        return tuple((pair[0], pair[1]) for pair in listed)

    def forced(self) -> tuple[int, ...]:
        """The tokens of ``forced_decoder_ids``: pairs of place and token, from place 1 on."""
        value = self.values.get("forced_decoder_ids")
        listed = value if isinstance(value, list) else []
        pairs = [pair for pair in listed if isinstance(pair, list) and len(pair) == 2]
        return tuple(token for _, token in pairs if type(token) is int)


def _code(token: str) -> str:
    found = _LANGUAGE.fullmatch(token)
    return found[1] if found else token


def _listed(vocabulary: Vocabulary) -> dict[str, int]:
    """Return the languages that a vocabulary has tokens for."""
    found = {code: vocabulary.token_to_id(f"<|{code}|>") for code in NAMES}
    return {code: id for code, id in found.items() if id is not None}
