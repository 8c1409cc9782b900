"""An answer on its way to stdout: reasoning is dimmed on a terminal and left out elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fathom.cli.output import on_terminal

if TYPE_CHECKING:
    from fathom.generation.reasoning import Piece

DIM, PLAIN = "\x1b[2m", "\x1b[22m"  # ECMA-48, select graphic rendition


class Writer:
    """Writes pieces as they come.

    `thinking` shows reasoning where stdout is a terminal; a pipe gets the answer alone.
    """

    def __init__(self, *, thinking: bool = True) -> None:
        self._thinking = thinking and on_terminal(sys.stdout)
        self._dims = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._inside = False
        self._last = "\n"

    def write(self, piece: Piece) -> None:
        """Write one piece."""
        if self._thinking and piece.reasoning:
            self._turn(to_reasoning=True)
            self._put(piece.reasoning)
        if len(piece):
            self._turn(to_reasoning=False)
            self._put(piece)
        sys.stdout.flush()

    def end(self) -> None:
        """End the line, also of an answer that was cut short."""
        self._turn(to_reasoning=False, blank=False)
        if self._last != "\n":
            self._put("\n")
        sys.stdout.flush()

    def _turn(self, *, to_reasoning: bool, blank: bool = True) -> None:
        """Go over from reasoning to the answer, a blank line between, or back."""
        if to_reasoning == self._inside:
            return
        self._inside = to_reasoning
        if self._dims:
            sys.stdout.write(DIM if to_reasoning else PLAIN)
        if blank and not to_reasoning:
            self._put("\n" if self._last == "\n" else "\n\n")

    def _put(self, text: str) -> None:
        sys.stdout.write(text)
        self._last = text[-1]
