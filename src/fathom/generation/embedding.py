"""Texts → vectors, many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fathom.errors import RequestError, nearest
from fathom.generation.reading import Batch, batches, read_text
from fathom.inputs.tokenizer import Tokenizer
from fathom.models.encoder import Encoder
from fathom.spec.vector import Vectors


class Embedder:
    """A model that gives hidden states, and what makes one vector of those of a text."""

    def __init__(
        self,
        model: nn.Module,
        vector: nn.Module,
        tokenizer: Tokenizer,
        manner: Vectors,
        context: int,
    ) -> None:
        self.model = model
        self.vector = vector
        self.tokenizer = tokenizer
        self.manner = manner
        self.longest = min(context, manner.longest or context)
        self.device = next(model.parameters()).device

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
        readings = [
            read_text(self.tokenizer, before + text, longest=self.longest, truncate=truncate)
            for text in lowered
        ]
        skipped = 0 if self.manner.pools_prompt or not before else self._tokens_of(before)
        found: list[Tensor | None] = [None] * len(readings)
        for one in batches(readings, batch, self.device):
            for row, vector in zip(one.rows, self._vectors(one, skipped, normalise), strict=True):
                found[row] = vector
        return np.stack([vector.numpy() for vector in found if vector is not None])

    @torch.inference_mode()
    def _vectors(self, one: Batch, skipped: int, normalise: bool | None) -> Tensor:
        """(batch, width) float32 on the processor; the first `skipped` tokens are not pooled."""
        types = {"types": one.types} if isinstance(self.model, Encoder) else {}
        hidden = self.model.hidden(one.tokens, step=one.step, **types)  # type: ignore[operator]
        positions = one.step.positions
        if skipped:
            positions = torch.where(positions < skipped, -1, positions)
        vectors: Tensor = self.vector(hidden, positions, normalise=normalise)
        return vectors.cpu()

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
