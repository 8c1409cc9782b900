"""Beam search: the likeliest few ways of writing are followed side by side, the best is kept.

The order of its decisions and the worth of an answer are those of transformers' beam search, to
which the tests hold it token for token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fathom.generation.adjusting import Adjuster
from fathom.generation.constraints import Beams
from fathom.generation.sampling import likeliest_of, log_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Places = NDArray[np.intp]

RULED_OUT = -1e9  # worse than any log-probability of an answer, and still a number


@dataclass(frozen=True)
class Finished:
    """An answer, an ending token included, and what it is worth."""

    worth: float
    tokens: tuple[int, ...]


class BeamSearch:
    """One search. It knows scores and ids; whoever drives it has the model and its state.

    Attributes:
        done: whether nothing better can come, or nothing may be added.
    """

    def __init__(
        self,
        beams: Beams,
        adjuster: Adjuster,
        opening: Sequence[int],
        *,
        end: frozenset[int],
        max_tokens: int,
    ) -> None:
        """Begin answers of up to `max_tokens` after the tokens that open each of them."""
        self.beams = beams
        self.done = False
        self._adjuster = adjuster
        self._opening = tuple(opening)
        self._end = np.asarray(sorted(end), dtype=np.intp)
        self._max_tokens = max_tokens
        self._running: list[list[int]] = [[] for _ in range(beams.beams)]
        # All rows begin alike: only the first counts, or each would find the same tokens.
        self._sums = np.full(beams.beams, RULED_OUT, dtype=np.float32)
        self._sums[0] = 0.0
        self._finished: list[Finished] = []
        self._hopeful = True

    @property
    def last(self) -> list[int]:
        """The last token of each row that runs."""
        return [row[-1] for row in self._running]

    @property
    def best(self) -> tuple[int, ...]:
        """The ids of the best answer."""
        return self._finished[0].tokens if self._finished else tuple(self._running[0])

    def take(self, scores: Floats) -> Places:
        """Go one token further by the model's scores (beams, vocabulary).

        Returns the rows, (beams,), from which the new rows go on; their states are to follow.
        """
        count, vocabulary = self.beams.beams, scores.shape[-1]
        written = [[*self._opening, *row] for row in self._running]
        own = np.stack([log_probabilities(row) for row in scores])
        totals = (self._adjuster(own, written) + self._sums[:, None]).reshape(-1)
        # Each end token may be the next of every row; as many rows must be left to go on.
        kept = min(max(2, 1 + len(self._end)) * count, len(totals))
        places = likeliest_of(totals, kept)
        values, rows, tokens = totals[places], places // vocabulary, places % vocabulary
        length = len(self._running[0]) + 1
        ended = np.isin(tokens, self._end) | (length == self._max_tokens)
        self._finish(values[:count], rows, tokens, ended[:count], length)
        going = np.where(ended, values + np.float32(RULED_OUT), values)
        best = likeliest_of(going, count)
        self._sums, rows, tokens = going[best], rows[best], tokens[best]
        self._running = [
            [*self._running[row], token]
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)
        ]
        self._look_ahead(length)
        self.done = not self._hopeful or self._full_and_early or bool(ended.all())
        return rows

    def _finish(
        self, values: Floats, rows: Places, tokens: Places, ended: NDArray[np.bool_], length: int
    ) -> None:
        """Keep the best answers; only the likeliest continuations of all can be one."""
        if self._full_and_early:
            return
        divisor = self._counted(length) ** self.beams.length_penalty
        new = [
            Finished(value / divisor, (*self._running[row], token))
            for value, row, token, over in zip(
                values.tolist(), rows.tolist(), tokens.tolist(), ended.tolist(), strict=False
            )
            if over and value > RULED_OUT
        ]
        ordered = sorted([*self._finished, *new], key=lambda one: -one.worth)
        self._finished = ordered[: self.beams.beams]

    def _look_ahead(self, length: int) -> None:
        """See whether what runs may still become better than the worst answer that is kept."""
        never = self.beams.early_stopping == "never" and self.beams.length_penalty > 0
        counted = self._counted(self._max_tokens if never else length)
        possible = float(self._sums[0]) / counted**self.beams.length_penalty
        full = len(self._finished) == self.beams.beams
        worst = self._finished[-1].worth if full else RULED_OUT
        self._hopeful = self._hopeful and possible > worst

    def _counted(self, length: int) -> int:
        """Return the length that an answer is judged by: a forced first token counts as well."""
        return length + len(self._opening) - 1

    @property
    def _full_and_early(self) -> bool:
        return self.beams.early_stopping is True and len(self._finished) == self.beams.beams
