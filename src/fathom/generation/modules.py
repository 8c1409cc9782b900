"""A decoder as modules of PyTorch: the definition, on any device, a chunk of tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from fathom.generation.forward import CHUNK
from fathom.generation.inserts import Insert, cut, given_to, places_of, seen_by
from fathom.generation.state import ContiguousState
from fathom.models.decoder import Decoder
from fathom.spec import decoder as spec

M = TypeVar("M")


class TensorForward(Generic[M]):
    """A model whose weights are tensors on one device."""

    def __init__(self, model: M, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        """Take a loaded model; `dtype` is what keys and values are kept in."""
        self.model = model
        self.dtype = dtype
        self.device = str(device)


class ModuleForward(TensorForward[Decoder]):
    """A decoder in PyTorch."""

    @property
    def spec(self) -> spec.Decoder:
        """The description that the model runs by."""
        return self.model.spec

    def begin(self, capacity: int) -> ModuleCourse:
        """Return an empty course, its memory taken."""
        state = ContiguousState(
            self.model.spec, batch=1, capacity=capacity, dtype=self.dtype, device=self.device
        )
        return ModuleCourse(self.model, state)


class ModuleCourse:
    """One sequence and its arrays."""

    def __init__(self, model: Decoder, state: ContiguousState) -> None:
        self.ids: list[int] = []
        self.inserts: Sequence[Insert] = ()
        self._model = model
        self._state = state

    @property
    def capacity(self) -> int:
        """The most tokens that it can hold."""
        return self._state.capacity

    @torch.inference_mode()
    def scores(self, tokens: Sequence[int]) -> Tensor:
        """Take tokens in, and return the scores after the last one, (vocabulary,)."""
        state = self._state
        start = 0
        for length in cut(self.inserts, len(self.ids), len(tokens), CHUNK):
            chunk = tokens[start : start + length]
            start += length
            row = torch.tensor([chunk], dtype=torch.long, device=state.device)
            step = state.advance(len(chunk))
            places = places_of(self.inserts, len(self.ids), len(chunk))
            if places is not None:
                step = step.at(places.to(state.device))
            seen = seen_by(self.inserts, len(self.ids), len(chunk))
            if seen is not None:
                ends, starts = seen
                device = state.device
                step = step.seeing(ends.to(device), None if starts is None else starts.to(device))
            given = given_to(row, self.inserts, len(self.ids))
            hidden = self._model.hidden(row, step=step, state=state, given=given)
            self.ids += chunk
        return self._model.scores(hidden[:, -1])[0]

    def reset(self) -> None:
        """Forget everything, keeping the memory."""
        self._state.reset()
        self.ids, self.inserts = [], ()
