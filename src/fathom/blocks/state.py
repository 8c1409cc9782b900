"""What a mixer is handed besides its input: where tokens stand, and what earlier ones left.

State is an argument with one interface. A mixer asks it to attend, or to remember an array;
where keys live (nowhere, contiguous, paged, rotating, on disk) is the engine's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Protocol

import torch
from torch import Tensor

from fathom.blocks.frequencies import frequencies
from fathom.ops.attention import Scoring, attention, visible
from fathom.ops.rotary import angles, angles_of_places
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi


class Step:
    """The tokens of one forward pass: their positions, and what is worked out from those once.

    `positions` is (batch, length); a negative one marks padding. In a *dense* step every row
    holds the positions start … start + length - 1, so causal order needs no mask.

    Some scaling laws of rotary positions depend on how long a sequence becomes. `span` is that
    length, fixed for a session, so that keys kept from its start stay valid at its end.

    What stands in rows and columns has `places`, (axes, batch, length), for rotations that know
    several axes; order is by `positions` all the same. Tokens that see beyond themselves have
    `ends`, (batch, length): the last position that each sees; `starts` are those from which on
    they see, whatever a window says.
    """

    def __init__(
        self, positions: Tensor, *, start: int | None = None, span: int | None = None
    ) -> None:
        self.positions = positions
        self.places: Tensor | None = None  # as positions on each axis, unless said
        self.ends: Tensor | None = None
        self.starts: Tensor | None = None
        self.start = start  # None unless dense
        self._span = span
        self._rotations: dict[Rotary, tuple[Tensor, Tensor]] = {}
        self._slopes: dict[tuple[float, ...], Tensor] = {}
        self._distances: DistanceScores | None = None
        self._scored: tuple[Tensor, Tensor] | None = None  # positions of keys, and their scores

    @classmethod
    def dense(
        cls, batch: int, start: int, length: int, device: torch.device, span: int | None = None
    ) -> Step:
        """Return the step in which every row continues at `start`."""
        row = torch.arange(start, start + length, device=device)
        return cls(row.expand(batch, -1), start=start, span=span)

    @classmethod
    def padded(cls, real: Tensor, before: Tensor | int = 0, span: int | None = None) -> Step:
        """Return the step for a padded batch; `real` (batch, length) is True at tokens.

        `before` is how many tokens each row holds already, (batch, 1).
        """
        counted = real.long().cumsum(dim=1) - 1 + before
        return cls(torch.where(real, counted, -1), span=span)

    @property
    def length(self) -> int:
        return int(self.positions.shape[1])

    @property
    def real(self) -> Tensor | None:
        """True at tokens, (batch, length); None where there is no padding."""
        return None if self.start is not None else self.positions >= 0

    @property
    def total(self) -> int:
        """Tokens of the longest sequence once this step is done."""
        if self.start is not None:
            return self.start + self.length
        return int(self.positions.max().item()) + 1

    def rotation(self, rotary: Rotary) -> tuple[Tensor, Tensor]:
        """Return cosine and sine for these positions; layers with one rotary share them."""
        if rotary not in self._rotations:
            turns, factor = frequencies(rotary, self._span or self.total)
            frequency = torch.from_numpy(turns).to(self.positions.device)
            if rotary.axes is not None and self.places is not None:
                of_pairs = rotary.axes.of_pairs
                found = angles_of_places(frequency, self.places, of_pairs, factor)
            else:
                found = angles(frequency, self.positions, factor)
            self._rotations[rotary] = found
        return self._rotations[rotary]

    def seeing(self, ends: Tensor | None, starts: Tensor | None = None) -> Step:
        """Return this step with `ends` and `starts` (batch or 1, length); None for none."""
        step = copy(self)
        step.ends, step.starts = ends, starts
        return step

    def at(self, places: Tensor | None) -> Step:
        """Return this step with `places` (axes, batch or 1, length); None for none."""
        step = copy(self)
        step.places, step._rotations = places, {}
        return step

    def slopes(self, alibi: Alibi | RoundedAlibi) -> Tensor:
        """Return a penalty's slopes as a tensor, (heads,) float32; layers share it."""
        if alibi.slopes not in self._slopes:
            device = self.positions.device
            self._slopes[alibi.slopes] = torch.tensor(alibi.slopes, device=device)
        return self._slopes[alibi.slopes]

    def scored(self, distances: DistanceScores) -> Step:
        """Return this step with scores of distances, for a stack whose layers share them."""
        step = copy(self)
        step._distances, step._scored = distances, None
        return step

    def distance_scores(self, keys: Tensor) -> Tensor | None:
        """Return what distances to keys at these positions add, (batch, heads, length, keys)."""
        if self._distances is None:
            return None
        if self._scored is None or self._scored[0] is not keys:
            self._scored = keys, self._distances(self.positions, keys)
        return self._scored[1]


class DistanceScores(Protocol):
    """Positions of queries (batch, length) and keys (batch, keys) → scores that they add."""

    def __call__(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return (batch, heads, length, keys)."""
        ...


class MixerState(Protocol):
    """The state of one mixer. Attention attends; recurrences recall and remember arrays."""

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        """Add keys and values, and attend over all there are; shapes as in `ops.attention`."""
        ...

    def extend(self, name: str, new: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Add an array per token, (batch, heads, length, width), to those kept under a name.

        Return all that are in reach, in that shape, and their positions, (batch, tokens).
        """
        ...

    def recall(self, name: str) -> Tensor | None:
        """Return what was remembered, (batch, …), or None at the start of a sequence."""
        ...

    def remember(self, name: str, value: Tensor) -> None:
        """Keep an array for the next step."""
        ...


class State(Protocol):
    """The state of a whole model."""

    @property
    def layers(self) -> Sequence[MixerState]:
        """One state per layer, in order."""
        ...


class Passing:
    """A state that keeps nothing: one full pass over whole sequences."""

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, step: Step, scoring: Scoring
    ) -> Tensor:
        return attend(query, key, value, step, step.positions, scoring)

    def extend(self, name: str, new: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        return new, step.positions

    def recall(self, name: str) -> Tensor | None:
        return None

    def remember(self, name: str, value: Tensor) -> None:
        pass


def sight(step: Step, key_positions: Tensor, scoring: Scoring) -> Tensor | None:
    """Return which keys each query may see, as `ops.attention.visible`, or None for all before it.

    A dense step over keys in order, with nothing out of reach, needs no mask.
    """
    reach = min(scoring.window or step.total, scoring.chunk or step.total)
    ordered = step.start is not None and key_positions.shape[1] == step.total
    within_reach = ordered and reach >= step.total and step.ends is None
    if within_reach:
        return None
    return visible(step.positions, key_positions, scoring, step.ends, step.starts)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    step: Step,
    key_positions: Tensor,
    scoring: Scoring,
) -> Tensor:
    """Attend from this step's queries to keys that stand at `key_positions` (batch, keys)."""
    mask = sight(step, key_positions, scoring)
    bias = step.distance_scores(key_positions)
    if scoring.slopes is not None:
        bias = _distance_penalty(scoring.slopes, scoring, step.positions, key_positions)
    return attention(query, key, value, scoring, mask, bias)


def _distance_penalty(slopes: Tensor, scoring: Scoring, queries: Tensor, keys: Tensor) -> Tensor:
    """Return −slope · distance, (batch, heads, length, keys) (Press et al., 2021).

    The rounded kind rewards late keys instead of penalising early ones, which a softmax takes
    for the same; its result is (batch, heads, 1, keys).
    """
    slopes = slopes[None, :, None, None]
    if scoring.rounded:
        return (slopes.bfloat16() * keys[:, None, None, :].bfloat16()).float() * scoring.scale
    distance = queries[:, None, :, None] - keys[:, None, None, :]
    return -slopes * distance.clamp(min=0)
