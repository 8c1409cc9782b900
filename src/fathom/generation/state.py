"""Contiguous state: arrays preallocated for a batch of sequences up to a capacity.

The arrays are just those that the spec states (`mixer.state(capacity)`), so what is planned is
what is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fathom.blocks.state import Step, attend
from fathom.generation.pages import require_room
from fathom.ops.attention import Scoring
from fathom.spec.decoder import Decoder, Mixer
from fathom.spec.encoder_decoder import Stack


class ContiguousState:
    """The state of a decoder for `batch` sequences of up to `capacity` tokens.

    Every row advances together. `advance` names the tokens of the next forward pass and reserves
    their places; the pass itself fills them.

    Raises:
        ContextLengthError: on advancing beyond the capacity.
    """

    def __init__(
        self,
        spec: Decoder | Stack,
        *,
        batch: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        self.batch = batch
        self.capacity = capacity
        self.device = torch.device(device)
        self.used = 0
        self._counts: Tensor | None = None  # tokens per row, once a row was padded
        self._places: dict[int, Places] = {}
        self.layers = [self._layer(layer.mixer, dtype) for layer in spec.layers]

    def _layer(self, mixer: Mixer, dtype: torch.dtype) -> LayerState:
        arrays = {
            array.name: torch.zeros(
                self.batch,
                *array.shape,
                dtype=torch.float32 if array.exact else dtype,
                device=self.device,
            )
            for array in mixer.state(self.capacity)
        }
        kept = arrays["key"].shape[2] if "key" in arrays else 0
        if kept not in self._places:
            self._places[kept] = Places(self.batch, kept, self.device)
        return LayerState(arrays, self._places[kept])

    def advance(self, length: int, real: Tensor | None = None) -> Step:
        """Reserve places for the next `length` tokens of every row and return their step.

        `real` (batch, length) is False at padding; without it there is none.
        """
        require_room(self.used + length, self.capacity)
        if real is None and self._counts is None:
            step = Step.dense(self.batch, self.used, length, self.device, self.capacity)
        else:
            step = self._padded(length, real)
        for places in self._places.values():
            places.advance(self.used, step)
        self.used += length
        return step

    def _padded(self, length: int, real: Tensor | None) -> Step:
        """Return the step of rows that hold different numbers of tokens."""
        if real is None:
            real = torch.ones(self.batch, length, dtype=torch.bool, device=self.device)
        if self._counts is None:
            self._counts = torch.full((self.batch, 1), self.used, device=self.device)
        step = Step.padded(real, self._counts, self.capacity)
        self._counts = self._counts + real.sum(dim=1, keepdim=True)
        return step

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from what row `rows[i]` held, (batch,); none of them may be padded."""
        if rows.tolist() == list(range(self.batch)):
            return
        for layer in self.layers:
            layer.reorder(rows, self.used)

    def reset(self) -> None:
        """Forget everything, keeping the memory."""
        self.used = 0
        self._counts = None
        for places in self._places.values():
            places.reset()
        for layer in self.layers:
            layer.remembered.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for layer in self.layers for array in layer.arrays.values())


class Places:
    """Where the keys of layers with one reach stand: `width` slots, reused in turn.

    A slot's position is -1 while it is empty. Layers that keep everything have a slot for every
    token; those with a window have as many as the window is wide.
    """

    def __init__(self, batch: int, width: int, device: torch.device) -> None:
        self.width = width
        self.positions = torch.full((batch, width), -1, device=device)
        self.seen = self.positions  # positions of the keys that this step attends to
        self.before = 0  # slots that hold keys of earlier steps
        self.wraps = False

    def advance(self, used: int, step: Step) -> None:
        """Work out, once for all layers, where the keys of a step go and which ones it sees."""
        if self.width == 0:  # of recurrences, which keep no keys
            return
        self.start, self.length = used, step.length
        self.wraps = used + step.length > self.width
        self.before = min(used, self.width)
        if not self.wraps:
            self.positions[:, used : used + step.length] = step.positions
            self.seen = self.positions[:, : used + step.length]
            return
        # The step's own early tokens may see keys that its late ones replace: look, then write.
        self.seen = torch.cat((self.positions[:, : self.before], step.positions), dim=1)
        kept = min(step.length, self.width)
        self.slots = torch.arange(used + step.length - kept, used + step.length) % self.width
        self.slots = self.slots.to(self.positions.device)
        self.positions[:, self.slots] = step.positions[:, -kept:]

    def reset(self) -> None:
        """Empty every slot."""
        self.positions.fill_(-1)


class LayerState:
    """The arrays of one layer, and what its mixer may do with them (`blocks.state.MixerState`)."""

    def __init__(self, arrays: Mapping[str, Tensor], places: Places) -> None:
        self.arrays = arrays
        self.places = places
        self.remembered: set[str] = set()  # arrays that hold something of this sequence

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        """Keep the step's keys and values, and attend over all that are within reach."""
        keys, values = self._extend("key", key), self._extend("value", value)
        return attend(query, keys, values, step, self.places.seen, scoring)

    def extend(self, name: str, new: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Keep an array per token of the step; return all within reach and their positions."""
        return self._extend(name, new).to(new.dtype), self.places.seen

    def _extend(self, name: str, new: Tensor) -> Tensor:
        """Write `new` (batch, kv_heads, length, head_width); return all keys that are seen."""
        kept, places = self.arrays[name], self.places
        new = new.to(kept.dtype)
        if not places.wraps:
            end = places.start + places.length
            kept[:, :, places.start : end] = new
            return kept[:, :, :end]
        everything = torch.cat((kept[:, :, : places.before], new), dim=2)
        kept[:, :, places.slots] = new[:, :, -len(places.slots) :]
        return everything

    def reorder(self, rows: Tensor, used: int) -> None:
        """Put rows in the place of others, as far as there is something in them."""
        for name, array in self.arrays.items():
            held = array if name in self.remembered else array[:, :, :used]
            held.copy_(held[rows])

    def recall(self, name: str) -> Tensor | None:
        """Return a remembered array, or None at the start of a sequence."""
        return self.arrays[name] if name in self.remembered else None

    def remember(self, name: str, value: Tensor) -> None:
        """Keep an array for the next step."""
        self.arrays[name].copy_(value)
        self.remembered.add(name)
