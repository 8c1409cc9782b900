"""Text as it comes from a model, parted into what is said and the tools that are called."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Sequence
from typing import TypeAlias

from fathom.serving.service import Tool, ToolCall
from fathom.serving.tool_calls.families import Family, Span
from fathom.serving.tool_calls.forms import LONGEST, Found, UnreadableError, read
from fathom.serving.tool_calls.scanning import Scanner

Part: TypeAlias = str | ToolCall

_LETTERS = string.ascii_letters + string.digits
_BEGINNING = 160  # characters by which a call that stands alone is told from other text
_BROKEN = "the model began a call of a tool that cannot be read; it is given as text"


class CallReader:
    """Takes pieces of an answer and gives text that is certain and calls that are whole.

    However the text is cut into pieces, the result is the same. Half a call is never given as
    text; one that ends broken is, and `notes` says so. White space between text and calls is left
    out. Of a text without calls not a character changes.

    Attributes:
        notes: what went wrong, a line each.
        calls: how many were read.
    """

    def __init__(
        self, family: Family, tools: Sequence[Tool], make_id: Callable[[], str] | None = None
    ) -> None:
        self.notes: list[str] = []
        self.calls = 0
        self._family = family
        self._tools = tools
        self._make_id = make_id or (_short_id if family.short_ids else _long_id)
        self._names = {tool.name for tool in tools}
        self._openings = {span.opening: span for span in family.spans if not span.alone}
        self._alone = {span.opening: span for span in family.spans if span.alone}
        self._always = (*self._openings, *family.around)
        self._firsts = {mark[0] for mark in self._always}
        self._span: Span | None = None  # of the call that is being written
        self._after: Span | None = None  # of the call that was read just now
        self._scanner: Scanner | None = None
        self._lead = ""  # the marker before the body
        self._body: list[str] = []
        self._tail = ""
        self._held = ""  # could become a marker
        self._space: list[str] = []  # shown once text follows it
        self._said: list[str] = []
        self._opened = True  # whether nothing but white space has come
        self._out: list[Part] = []

    def push(self, text: str) -> list[Part]:
        """Take more text and return what is certain, in order."""
        for character in text:
            self._take(character)
        return self._given()

    def flush(self) -> list[Part]:
        """Return what was held back. Ends the text."""
        if self._span is not None:
            self._finish(self._span, complete=self._span.end != "value")
        held, self._held = self._held, ""
        self._say(held)
        if not self.calls:
            self._said += self._space
        self._space = []
        return self._given()

    def _take(self, character: str) -> None:
        if self._span is not None:
            self._within(self._span, character)
        elif self._held or self._after or self._opened or character in self._firsts:
            self._held += character
            self._settle()
        else:
            self._say(character)

    def _settle(self) -> None:
        """Let go of held text until what is left could become a marker."""
        while self._held:
            marks = self._marks()
            if self._held in marks:
                self._begin(self._held)
                return
            if any(mark.startswith(self._held) for mark in marks):
                return
            first = self._held[0]
            if self._after is not None and not self._passes(self._after, first):
                self._after = None  # what follows is text: look at it as such
                continue
            self._held = self._held[1:]
            if self._after is None:
                self._say(first)

    def _marks(self) -> list[str]:
        """Return the markers that count at this place."""
        marks = list(self._always)
        if self._after is not None:
            marks += [self._after.closing] if self._after.closing else []
            marks += ["{"] if self._after.repeats else []
        elif self._opened:
            marks += self._alone
        return marks

    @staticmethod
    def _passes(after: Span, character: str) -> bool:
        """Tell whether a character after a call belongs to no text."""
        return character.isspace() or (after.repeats and character in ",;")

    def _begin(self, mark: str) -> None:
        """Enter a call, or pass by a marker around calls."""
        self._held = ""
        after, self._after = self._after, None
        if after is not None and mark == after.closing:
            return
        again = after if after is not None and after.repeats and mark == "{" else None
        span = again or self._openings.get(mark) or self._alone.get(mark)
        if span is None:
            return
        within = span.alone or again is not None
        self._span, self._scanner = span, None
        self._lead = "" if within else mark
        self._body, self._tail, self._opened = [], "", False
        if within:
            self._within(span, mark)

    def _within(self, span: Span, character: str) -> None:
        """Take a character of a call."""
        self._body.append(character)
        if len(self._body) > LONGEST:
            self._finish(span, complete=False)
        elif span.end == "closing":
            self._tail = (self._tail + character)[-len(span.closing) :]
            if self._tail == span.closing:
                self._finish(span, complete=True, closed=True)
        elif span.end == "value":
            self._scan(span, character)

    def _scan(self, span: Span, character: str) -> None:
        """Look for the end of a value."""
        if self._scanner is None:
            if character.isspace():
                return
            self._scanner = _scanner(span, character)
        if character == "{" and len(self._body) < _BEGINNING and _squeezed(self._body) == "[{":
            self._scanner.quotes = '"'  # a list in JSON, where an apostrophe is a letter
        ended = self._scanner.push(character)
        if self._scanner.broken or self._astray(span, self._scanner):
            self._finish(span, complete=False)
        elif ended:
            self._finish(span, complete=True)

    def _astray(self, span: Span, scanner: Scanner) -> bool:
        """Tell whether what has come so far can no longer become a call."""
        if span.form == "json" and not scanner.begun:
            return True
        if not span.alone or len(self._body) > _BEGINNING:
            return False
        text = _squeezed(self._body)
        begins = (*span.begins, *(f"[{name}(" for name in self._names))
        return not any(text.startswith(each) or each.startswith(text) for each in begins)

    def _finish(self, span: Span, *, complete: bool, closed: bool = False) -> None:
        """Give the calls of what was written, or the text that it turned out to be."""
        text = "".join(self._body)
        body = text.removesuffix(span.closing) if closed else text
        self._span, self._body = None, []
        found = self._read(span, body) if complete else []
        if not found:
            self.notes += [] if span.alone else [_BROKEN]
            self._say(self._lead + text)
            return
        self._space = []
        self._end_text()
        self.calls += len(found)
        self._out += [
            ToolCall(each.id or self._make_id(), each.name, each.arguments) for each in found
        ]
        self._after = None if closed else span

    def _read(self, span: Span, body: str) -> list[Found]:
        try:
            found = read(span.form, body, self._tools)
        except UnreadableError:
            return []
        known = all(each.name in self._names for each in found)
        return found if known or not span.alone else []

    def _say(self, text: str) -> None:
        """Give text; white space waits for what follows."""
        for character in text:
            self._space.append(character)
            if not character.isspace():
                self._said += self._space
                self._space = []
                self._opened = False

    def _end_text(self) -> None:
        if self._said:
            self._out.append("".join(self._said))
            self._said = []

    def _given(self) -> list[Part]:
        self._end_text()
        given, self._out = self._out, []
        return given


def _scanner(span: Span, first: str) -> Scanner:
    """Return what finds the end of a value; a name before it may hold square brackets."""
    if span.form == "pythonic":
        return Scanner("[", "\"'")
    return Scanner("{" if span.form == "named" and first != "[" else "{[")


def _squeezed(body: Sequence[str]) -> str:
    """Return what was written without its white space."""
    return "".join("".join(body).split())


def _long_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def _short_id() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(9))
