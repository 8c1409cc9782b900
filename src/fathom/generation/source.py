"""The state of a model that reads one text and writes another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fathom.blocks.state import MixerState, Step
from fathom.generation.state import ContiguousState, LayerState
from fathom.ops.attention import Scoring
from fathom.spec.encoder_decoder import CrossLayer, EncoderDecoder
from fathom.spec.speech import Speech


class PairState:
    """The decoder's own keys, which grow, and those of the text that was read, made once.

    Room for both is just what the spec states: `capacity` tokens to be written, `source` read.
    """

    def __init__(
        self,
        spec: EncoderDecoder | Speech,
        *,
        batch: int,
        capacity: int,
        source: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        self._own = ContiguousState(
            spec.decoder, batch=batch, capacity=capacity, dtype=dtype, device=device
        )
        looking = [layer for layer in spec.decoder.layers if isinstance(layer, CrossLayer)]
        self._looking = [
            LookingState(
                own,
                {
                    array.name: torch.zeros(batch, *array.shape, dtype=dtype, device=device)
                    for array in layer.cross.state(source)
                },
            )
            for own, layer in zip(self._own.layers, looking, strict=True)
        ]

    @property
    def layers(self) -> Sequence[MixerState]:
        """One state per layer, in order."""
        return self._looking

    @property
    def used(self) -> int:
        """Tokens that were written."""
        return self._own.used

    def advance(self, length: int) -> Step:
        """Reserve places for the next `length` tokens written, and return their step."""
        return self._own.advance(length)

    def reorder(self, rows: Tensor) -> None:
        """Let each row go on from what another had written; all read the same text."""
        self._own.reorder(rows)

    def rewind(self) -> None:
        """Forget what was written, and keep what was read."""
        self._own.reset()

    def reset(self) -> None:
        """Forget both texts, keeping the memory."""
        self._own.reset()
        for layer in self._looking:
            layer.read.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        kept = sum(array.nbytes for layer in self._looking for array in layer.arrays.values())
        return self._own.nbytes + kept


class LookingState:
    """One layer's own keys and values, and those of the text that was read."""

    def __init__(self, own: LayerState, arrays: Mapping[str, Tensor]) -> None:
        self.own = own
        self.arrays = arrays
        self.read: set[str] = set()  # arrays that hold something

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        """Keep the step's keys and values, and attend over all that are within reach."""
        return self.own.attend(query, key, value, step, scoring)

    def extend(self, name: str, new: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Add an array per token written to those kept under a name."""
        return self.own.extend(name, new, step)

    def recall(self, name: str) -> Tensor | None:
        """Return an array made from the text that was read, or None before it was."""
        return self.arrays[name] if name in self.read else None

    def remember(self, name: str, value: Tensor) -> None:
        """Keep an array for as long as this text is written about."""
        self.arrays[name].copy_(value)
        self.read.add(name)
