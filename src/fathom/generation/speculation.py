"""Several tokens of one sequence in a pass: what came after the same words before is tried first.

A pass reads every weight, whether for one token or for eight. So tokens that are only guessed go
along, at little cost, and those that are just what would have been chosen are kept. Guesses come
from the text itself (prompt lookup, Saxena 2023): answers repeat names, code and quotations.

A program gives a token the same bits alone and among others, and each is chosen as it would have
been alone. So an answer is the same with guesses and without, sampled ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from fathom.generation.reasoning import Piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fathom.generation.sequence import TokenSequence

ALIKE = 3  # tokens that have to be the same before what follows is guessed
MOST = 7  # guesses in a pass: with the token before them, what products take as few
FIRST = 3
RECENT = 0.25  # the weight of the newest pass in what passes take
LONGEST_REST = 256


class Drafted(Protocol):
    """A course that takes several tokens and can take some of them back."""

    ids: list[int]

    @property
    def capacity(self) -> int: ...

    def each(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Take tokens in, and return the scores after each, (tokens, vocabulary)."""
        ...

    def back(self, length: int) -> None:
        """Forget all tokens but the first `length`."""
        ...


class Lookup:
    """What followed the last few tokens where they stood before."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}  # some tokens → the place after them
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        """Take note of the next token."""
        place = len(self._tokens)
        if place >= ALIKE:
            self._followed[tuple(self._tokens[-ALIKE:])] = place
        self._tokens.append(token)

    def guesses(self, most: int) -> list[int]:
        """Return up to so many tokens that may come next, none where nothing is alike."""
        place = self._followed.get(tuple(self._tokens[-ALIKE:]))
        return [] if place is None else self._tokens[place : place + max(most, 0)]


class Pace:
    """How many guesses pay, by what passes took and brought."""

    def __init__(self) -> None:
        self.most = FIRST
        self._alone: float | None = None  # seconds of a pass without guesses
        self._guessed = 0.0  # seconds per token of those with
        self._resting = 0
        self._rest = 8  # passes without guesses after those that did not pay

    def wanted(self) -> int:
        """Return how many guesses to try in the next pass."""
        if self._alone is None:
            return 0
        if self._resting:
            self._resting -= 1
            return 0
        return self.most

    def note(self, guesses: int, kept: int, seconds: float) -> None:
        """Take note of a pass: of so many guesses so many were kept."""
        if guesses == 0:
            self._alone = seconds if self._alone is None else _recent(self._alone, seconds)
            return
        each = seconds / (kept + 1)
        self._guessed = each if self._guessed == 0 else _recent(self._guessed, each)
        self.most = min(MOST, guesses + 2) if kept == guesses else max(1, kept)
        if self._alone is not None and self._guessed > self._alone:
            self._resting, self._rest = self._rest, min(2 * self._rest, LONGEST_REST)
            self._guessed = 0.0
        elif kept:
            self._rest = 8


def _recent(before: float, now: float) -> float:
    return before + RECENT * (now - before)


class Speculation:
    """Writes a sequence on a course, one pass after the other."""

    def __init__(self, course: Drafted, sequence: TokenSequence) -> None:
        """Take a sequence whose first token is chosen."""
        self._course, self._sequence = course, sequence
        self._lookup = Lookup([*course.ids, *sequence.tokens[-1:]])
        self._pace = Pace()

    def step(self) -> Piece:
        """Choose the next tokens, at least one, and return the text that is certain."""
        began = perf_counter()
        guesses = self._guesses()
        length = len(self._course.ids)
        rows = self._course.each([*self._sequence.tokens[-1:], *guesses])
        pieces, kept = [], 0
        for row in rows:
            pieces.append(self._sequence.take(row))
            token = self._sequence.tokens[-1]
            self._lookup.add(token)
            more = self._sequence.finish_reason is None and kept < len(guesses)
            if not more or token != guesses[kept]:
                break
            kept += 1
        self._course.back(length + 1 + kept)
        self._pace.note(len(guesses), kept, perf_counter() - began)
        return Piece("".join(pieces), "".join(piece.reasoning for piece in pieces))

    def _guesses(self) -> list[int]:
        """Return what is worth trying: no more than there is room for, in state and answer."""
        wanted = self._pace.wanted()
        if wanted == 0:
            return []
        room = self._course.capacity - len(self._course.ids) - 1
        left = self._sequence.max_tokens - len(self._sequence.tokens) - 1
        return self._lookup.guesses(min(wanted, room, left))
