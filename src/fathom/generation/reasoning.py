"""Reasoning told from the answer: what stands between the markers that the vocabulary has.

The markers may be special tokens, which never show, or plain text of several tokens. They are
looked for in the text, special tokens spelled out, and belong to neither side.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fathom.errors import RequestError
from fathom.generation.coder import TextCoder

_TAIL = 32  # tokens of the prompt in which an opening marker at its end is looked for


class Piece(str):
    """Text of the answer as it comes, possibly none; `reasoning` is what came of that meanwhile.

    A piece is true if there is either.
    """

    __slots__ = ("reasoning",)
    reasoning: str

    def __new__(cls, answer: str = "", reasoning: str = "") -> Piece:
        piece = super().__new__(cls, answer)
        piece.reasoning = reasoning
        return piece

    def __bool__(self) -> bool:
        return len(self) > 0 or len(self.reasoning) > 0


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Text of one token; that of a special token is looked at but does not show."""

    text: str
    shows: bool


class Splitter:
    """Parts the text of an answer into reasoning and the rest.

    Some templates end the prompt with the opening marker, so that the answer begins inside. Text
    that could still become a marker is held back; white space beside a marker is left out.

    Attributes:
        count: tokens of reasoning so far; one that completes a marker does not count.
        inside: whether the next token is reasoning.
    """

    def __init__(
        self, coder: TextCoder, prompt: Sequence[int], spelled: Collection[int] = ()
    ) -> None:
        """Begin an answer to a prompt; special tokens show only where they are `spelled`."""
        self._spelled = spelled
        self.count = 0
        self.inside = False
        self._coder = coder
        self._stream = coder.stream()
        self._markers = coder.reasoning
        self._held: list[_Fragment] = []
        if self._markers is not None:
            tail = coder.decode(prompt[-_TAIL:], skip_special=False)
            self.inside = tail.rstrip().endswith(self._markers[0])
        self._fresh = self.inside  # a marker has just gone by

    def push(self, token: int) -> Piece:
        """Take the next token and return the text that is certain."""
        shown = self._stream.push(token)
        special = token in self._coder.special_ids
        spelling = self._coder.decode([token], skip_special=False) if special else ""
        if self._markers is None:
            return Piece(spelling if token in self._spelled else shown)
        if special:
            self._held.append(_Fragment(spelling, token in self._spelled))
        elif shown:
            self._held.append(_Fragment(shown, True))
        before = self.inside
        piece = self._certain()
        self.count += before and self.inside
        return piece

    def flush(self) -> Piece:
        """Return what was held back, half a character as U+FFFD. Ends the text."""
        if rest := self._stream.flush():
            self._held.append(_Fragment(rest, True))
        certain = self._certain()
        kept = self._released(self._length())
        return Piece(certain + kept, certain.reasoning + kept.reasoning)

    def _certain(self) -> Piece:
        """Release what is before a marker and past it; hold what could become one."""
        answer, reasoning = "", ""
        while True:
            text = "".join(fragment.text for fragment in self._held)
            marker = self._awaited()
            found = text.find(marker) if marker else -1
            end = found if found >= 0 else len(text) - _beginning(text, marker)
            piece = self._released(end)
            answer, reasoning = answer + piece, reasoning + piece.reasoning
            if found < 0:
                return Piece(answer, reasoning)
            _cut(self._held, len(marker))
            self.inside = not self.inside
            self._fresh = True

    def _awaited(self) -> str:
        return "" if self._markers is None else self._markers[1 if self.inside else 0]

    def _length(self) -> int:
        return sum(len(fragment.text) for fragment in self._held)

    def _released(self, length: int) -> Piece:
        """Let go of so much text, to the side where it belongs."""
        cut = _cut(self._held, length)
        shown = "".join(fragment.text for fragment in cut if fragment.shows)
        if self._fresh:
            shown = shown.lstrip()
            self._fresh = not shown
        return Piece("", shown) if self.inside else Piece(shown)


class Budget:
    """Ends reasoning that takes longer than it may: the closing marker is written for the model.

    The answer then goes on from there, as if the model had closed it (Muennighoff et al., 2025,
    arXiv 2501.19393).
    """

    def __init__(self, coder: TextCoder, most: int | None) -> None:
        """Take how many tokens of reasoning there may be; None for any number.

        Raises:
            RequestError: for a number where the vocabulary marks no reasoning.
        """
        markers = coder.reasoning
        if most is not None and markers is None:
            raise RequestError(
                "this model marks no reasoning that could be ended; leave out reasoning_budget"
            )
        self._most = most
        self._closing = () if most is None or markers is None else _tokens(coder, markers[1])
        self._written = 0  # tokens of the closing marker, while it is being written

    def forced(self, splitter: Splitter) -> int | None:
        """Return the token that must come next, or None where the model may choose."""
        if self._most is None:
            return None
        if not splitter.inside:
            self._written = 0
            return None
        begun = self._written > 0
        if not begun and splitter.count < self._most:
            return None
        if self._written == len(self._closing):  # spelled otherwise in the midst of a text
            return None
        self._written += 1
        return self._closing[self._written - 1]


def _tokens(coder: TextCoder, text: str) -> tuple[int, ...]:
    """Return the tokens of a marker: one by name if there is such, else those that spell it."""
    whole = coder.token_to_id(text)
    return tuple(coder.encode(text, add_special=False)) if whole is None else (whole,)


def _beginning(text: str, marker: str) -> int:
    """Return the length of the longest end of a text with which a marker begins."""
    for length in range(min(len(marker) - 1, len(text)), 0, -1):
        if marker.startswith(text[-length:]):
            return length
    return 0


def _cut(held: list[_Fragment], length: int) -> list[_Fragment]:
    """Take so many characters off the front of `held`."""
    taken: list[_Fragment] = []
    while length > 0:
        first = held.pop(0)
        taken.append(_Fragment(first.text[:length], first.shows))
        if len(first.text) > length:
            held.insert(0, _Fragment(first.text[length:], first.shows))
        length -= len(first.text)
    return taken
