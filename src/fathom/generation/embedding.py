"""Texts → vectors, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from fathom.errors import RequestError, nearest
from fathom.generation.reading import Reading, read_texts
from fathom.inputs.tokenizer import Tokenizer
from fathom.spec.vector import Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Vectoriser(Protocol):
    """What makes vectors of texts that are tokens already: a native program, or modules."""

    def vectors(
        self, readings: Sequence[Reading], skipped: int, normalise: bool | None, batch: int
    ) -> NDArray[np.float32]:
        """Return (texts, width) float32; the first `skipped` tokens are not pooled."""
        ...


class Embedder:
    """Makes vectors of texts as their publisher does."""

    def __init__(
        self, vectoriser: Vectoriser, tokenizer: Tokenizer, manner: Vectors, context: int
    ) -> None:
        self.vectoriser = vectoriser
        self.tokenizer = tokenizer
        self.manner = manner
        self.longest = min(context, manner.longest or context)

    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        normalise: bool | None = None,
        batch: int = 32,
        truncate: bool = False,
    ) -> NDArray[np.float32]:
        """Return one vector per text, (texts, width) float32, in the order given.

        Args:
            prompt: the name of one of the publisher's prompts, or a text of one's own to stand
                before each text; by default what the publisher says.
            normalise: to length one or not; by default what the publisher says.
            batch: texts per pass.
            truncate: cut off what exceeds the longest text that the model takes.

        Raises:
            RequestError: for no texts, or an unknown name of a prompt.
            ContextLengthError: for a text that is too long.
        """
        if isinstance(texts, str) or not texts or batch < 1:
            raise RequestError("give a list of at least one text, and a batch of at least 1")
        before = self._prompt(prompt)
        lowered = (text.lower() if self.manner.lowercase else text for text in texts)
        readings = read_texts(
            self.tokenizer,
            [before + text for text in lowered],
            longest=self.longest,
            truncate=truncate,
        )
        skipped = 0 if self.manner.pools_prompt or not before else self._tokens_of(before)
        return self.vectoriser.vectors(readings, skipped, normalise, batch)

    def _prompt(self, asked: str | None) -> str:
        """Return the text that stands before each text."""
        prompts, default = self.manner.prompts, self.manner.default_prompt
        if asked is None:
            return prompts[default] if default is not None else ""
        if asked in prompts or not asked:
            return prompts.get(asked, "")
        if asked.endswith((" ", "\n", ":")):
            return asked
        known = ", ".join(prompts) or "none"
        raise RequestError(
            f"'{asked}' is not the name of a prompt (known: {known}).{nearest(asked, prompts)} A"
            " prompt of your own ends with a space, a colon or a line break"
        )

    def _tokens_of(self, prompt: str) -> int:
        """Return how many tokens a prompt takes up, with what stands before it."""
        ids = self.tokenizer.encode(prompt)
        closing = bool(ids) and ids[-1] in self.tokenizer.special_ids
        return len(ids) - closing
