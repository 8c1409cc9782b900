"""What may not be written, and how many ways of writing are followed at once. No torch here.

Names and meanings are those of transformers' generation options, which publishers write them in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fathom.errors import RequestError
from fathom.generation.ranges import BEAMS, MIN_TOKENS, NGRAM, PENALTY, TOKEN, require

EarlyStopping: TypeAlias = bool | Literal["never"]


@dataclass(frozen=True)
class Constraints:
    """What may not be written, whatever its score.

    Attributes:
        no_repeat_ngram_size: no run of so many tokens is written twice; 0 allows all.
        min_tokens: tokens that an answer has before it may end.
        suppress_tokens: ids that are never written.
        begin_suppress_tokens: ids that are not the first of an answer.
        bad_words: runs of ids whose last one is not written after the others.
        forced_end: the id that is written where an answer reaches the most tokens it may have.

    Raises:
        RequestError: naming the field and its range.
    """

    no_repeat_ngram_size: int = 0
    min_tokens: int = 0
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    forced_end: int | None = None

    def __post_init__(self) -> None:
        require(NGRAM, "no_repeat_ngram_size", self.no_repeat_ngram_size)
        require(MIN_TOKENS, "min_tokens", self.min_tokens)
        if any(not isinstance(word, tuple) or not word for word in self.bad_words):
            raise RequestError("each of bad_words must be a tuple of at least one token id")
        for token in self.tokens:
            require(TOKEN, "a token id of what may not be written", token)

    @property
    def tokens(self) -> Iterable[int]:
        """Every id that is named."""
        forced = () if self.forced_end is None else (self.forced_end,)
        words = (token for word in self.bad_words for token in word)
        return (*self.suppress_tokens, *self.begin_suppress_tokens, *words, *forced)


@dataclass(frozen=True)
class Limits:
    """Constraints as they hold for one answer: the ids that end it, the most tokens it may have."""

    constraints: Constraints = field(default_factory=Constraints)
    end: frozenset[int] = frozenset()
    max_tokens: int | None = None


@dataclass(frozen=True)
class Beams:
    """How many ways of writing are followed side by side, and when the search ends.

    Attributes:
        beams: sequences kept; 1 follows a single one, token by token.
        length_penalty: a finished answer is worth its log-probability divided by its length to
            this power, so numbers above 0 favour long answers.
        early_stopping: True ends with as many finished answers as beams; False once none that
            runs is better at its present length; "never" once none can become better.

    Raises:
        RequestError: naming the field and its range.
    """

    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False

    def __post_init__(self) -> None:
        require(BEAMS, "beams", self.beams)
        require(PENALTY, "length_penalty", self.length_penalty)
        if self.early_stopping not in (True, False, "never"):
            raise RequestError(
                f"early_stopping must be True, False or 'never', not {self.early_stopping!r}"
            )
