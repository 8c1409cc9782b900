"""Which tokens of an answer are reasoning: those between the markers that the vocabulary has."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.generation.coder import TextCoder

_TAIL = 32  # tokens of the prompt in which an opening marker at its end is looked for


class ReasoningCounter:
    """Counts the tokens between an opening and a closing marker.

    The markers are looked for in the text, special tokens included, because they may consist of
    several tokens. A token that completes a marker does not count. Some templates end the prompt
    with the opening marker, so the answer begins inside.
    """

    def __init__(self, coder: TextCoder, prompt: Sequence[int]) -> None:
        self.count = 0
        self._markers = coder.reasoning
        if self._markers is None:
            return
        self._stream = coder.stream(skip_special=False)
        tail = coder.decode(prompt[-_TAIL:], skip_special=False)
        self._inside = tail.rstrip().endswith(self._markers[0])
        self._text = ""

    def push(self, token: int) -> None:
        """Take the next token of the answer."""
        if self._markers is None:
            return
        awaited = self._markers[1 if self._inside else 0]
        self._text += self._stream.push(token)
        before, marker, after = self._text.partition(awaited)
        if marker:
            self._inside = not self._inside
            self._text = after
            return
        self.count += self._inside
        self._text = before[-len(awaited) :]
