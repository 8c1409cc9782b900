"""What answers are expected to take, from few predictions: one for each power of two of a length.

A prediction takes milliseconds, and answers begin many times in a second. Seconds per token grow
evenly with what is attended to, so between two lengths they are told in proportion.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from fathom.library.text import TextModel
from fathom.planning.predict import Forecast, Prediction

SHORTEST = 64  # tokens


@dataclass(frozen=True)
class Expectation:
    """Predictions of one model by their length, shortest first."""

    predictions: Sequence[Prediction]

    @classmethod
    def of(cls, model: TextModel) -> Expectation:
        """Predict at every power of two within the context."""
        context = model.spec.context
        lengths = [min(SHORTEST, context)]
        while lengths[-1] < context:
            lengths.append(min(2 * lengths[-1], context))
        return cls([model.fit(length) for length in lengths])

    def forecast(self, prompt: int, total: int) -> Forecast:
        """Return what an answer takes that reads `prompt` tokens and holds `total` at its end."""
        at = self._at(total)
        found = self.predictions[min(at, len(self.predictions) - 1)]
        reading = self._rate(attrgetter("prefill_tokens_per_second"), 2 * prompt)
        writing = self._rate(attrgetter("decode_tokens_per_second"), total)
        return replace(
            found,
            prefill_tokens_per_second=reading,
            decode_tokens_per_second=writing,
            calibrated={},
        ).forecast(prompt)

    def _at(self, length: int) -> int:
        return bisect_left([one.context for one in self.predictions], length)

    def _rate(self, rate: Callable[[Prediction], float | None], length: int) -> float | None:
        """Return tokens per second at a length between two that were predicted."""
        above = min(self._at(length), len(self.predictions) - 1)
        low, high = self.predictions[max(0, above - 1)], self.predictions[above]
        slow, fast = rate(high), rate(low)
        if slow is None or fast is None:
            return None
        width = high.context - low.context
        share = min(1.0, max(0.0, (length - low.context) / width)) if width else 1.0
        return 1 / ((1 - share) / fast + share / slow)
