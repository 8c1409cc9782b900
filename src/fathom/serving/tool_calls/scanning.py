"""Where a JSON value or a Python expression ends, found a character at a time."""

from __future__ import annotations

DEEPEST = 64  # brackets within one another
_CLOSES = {"{": "}", "[": "]", "(": ")"}


class Scanner:
    """Follows brackets and strings. Linear, whatever a model writes.

    Attributes:
        begun: whether the first bracket has come.
        quotes: what strings stand between.
        broken: whether a bracket closes another than it should, or too many are open.
    """

    def __init__(self, opens: str, quotes: str = '"') -> None:
        """Take the brackets with which the value may begin, and what strings stand between."""
        self.begun = False
        self.broken = False
        self._opens = opens
        self.quotes = quotes
        self._open: list[str] = []
        self._quote = ""
        self._escaped = False

    def push(self, character: str) -> bool:
        """Take a character and tell whether it ends the value."""
        if not self.begun:
            self.begun = character in self._opens
            if not self.begun:
                return False
        if self._quote:
            self._within(character)
            return False
        if character in self.quotes:
            self._quote = character
        elif character in _CLOSES:
            self._open.append(_CLOSES[character])
            self.broken |= len(self._open) > DEEPEST
        elif character in "}])":
            self.broken |= self._open.pop() != character
        return not self._open

    def _within(self, character: str) -> None:
        """Take a character of a string."""
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == self._quote:
            self._quote = ""
