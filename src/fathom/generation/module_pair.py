"""A model that reads or hears and writes, as modules of PyTorch: the definition, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from fathom.blocks.cross import Source
from fathom.generation.modules import TensorForward
from fathom.generation.source import PairState
from fathom.models.encoder_decoder import EncoderDecoder
from fathom.models.speech import Speech

if TYPE_CHECKING:
    from fathom.generation.pair_forward import Rows
    from fathom.spec.model import Writing

M = TypeVar("M", bound=EncoderDecoder | Speech)


class ModulePair(TensorForward[M]):
    """A pair of stacks in PyTorch."""

    @property
    def spec(self) -> Writing:
        """The description that the model runs by."""
        return self.model.spec

    def begin(self, *, rows: int, capacity: int, source: int) -> ModulePairCourse:
        """Return room for rows of `capacity` tokens about a source of `source` tokens."""
        state = PairState(
            self.spec,
            batch=rows,
            capacity=capacity,
            source=source,
            dtype=self.dtype,
            device=self.device,
        )
        return ModulePairCourse(self.model, state, rows, self.device)


class ModulePairCourse:
    """Rows and their arrays.

    Attributes:
        state: the arrays, with those of the source.
        source: what was read or heard.
    """

    def __init__(
        self, model: EncoderDecoder | Speech, state: PairState, rows: int, device: str
    ) -> None:
        self.state = state
        self.source: Source | None = None
        self._model = model
        self._rows = rows
        self._device = device

    @property
    def used(self) -> int:
        """Tokens that were written in each row."""
        return self.state.used

    @torch.inference_mode()
    def read(self, texts: Sequence[Sequence[int]]) -> None:
        """Take what is to be read: one text for all rows, or one of the same length for each."""
        if not isinstance(self._model, EncoderDecoder):
            raise TypeError(f"{type(self._model).__name__} hears and does not read")
        self.state.reset()
        hidden = self._model.encode(self._tokens(texts)).hidden
        self.source = Source(hidden.expand(self._rows, -1, -1))

    def hear(self, hidden: Tensor) -> None:
        """Take what was heard, (1, length, width) for all rows, or (rows, length, width)."""
        self.state.reset()
        self.source = Source(hidden.expand(self._rows, -1, -1))

    @torch.inference_mode()
    def scores(self, tokens: Sequence[Sequence[int]], places: Sequence[int] = (-1,)) -> Tensor:
        """Add tokens to each row; return scores, (rows · places, vocabulary).

        Raises:
            ContextLengthError: when there are more than it can hold.
        """
        if self.source is None:
            raise LookupError("nothing was read yet that could be looked at")
        rows = self._tokens(tokens)
        step = self.state.advance(rows.shape[1])
        hidden = self._model.hidden(rows, self.source, step=step, state=self.state)
        return self._model.scores(hidden[:, list(places)].flatten(0, 1))

    @torch.inference_mode()
    def looks(self, tokens: Sequence[int], heads: Sequence[tuple[int, int]]) -> Tensor:
        """Return where heads look for each of a row's tokens, as `Speech.alignment`."""
        if not isinstance(self._model, Speech) or self.source is None:
            raise LookupError("nothing was heard yet that could be looked at")
        return self._model.alignment(self._tokens([tokens]), self.source, heads, self.state)

    def reorder(self, rows: Rows) -> None:
        """Let each row go on from what another had written; all look at the same source."""
        self.state.reorder(torch.as_tensor(rows, dtype=torch.long, device=self._device))

    def rewind(self) -> None:
        """Forget what was written, and keep the source."""
        self.state.rewind()

    def reset(self) -> None:
        """Forget both, keeping the memory."""
        self.state.reset()
        self.source = None

    def _tokens(self, texts: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor([list(text) for text in texts], dtype=torch.long, device=self._device)
