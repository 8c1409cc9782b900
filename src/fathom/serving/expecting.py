"""What answers are expected to take, from few predictions: one for each power of two of a length.

A prediction takes milliseconds, and answers begin many times in a second. Seconds per token grow
evenly with what is attended to, so between two lengths they are told in proportion.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter

from fathom.generation.batching.pace import Law
from fathom.library.text import TextModel
from fathom.planning.predict import Forecast, Prediction

SHORTEST = 64  # tokens


class Expectation:
    """Predictions of one model by their length, each made when it is first needed."""

    def __init__(self, context: int, predict: Callable[[int], Prediction]) -> None:
        """Take the longest text, and what predicts for texts of a length."""
        self._lengths = [min(SHORTEST, context)]
        while self._lengths[-1] < context:
            self._lengths.append(min(2 * self._lengths[-1], context))
        self._predict = predict
        self._made: dict[int, Prediction] = {}

    @classmethod
    def of(cls, model: TextModel) -> Expectation:
        """Return what answers of a model may be expected to take."""
        return cls(model.spec.context, model.fit)

    def law(self) -> Law | None:
        """Return what a step takes, at the longest; None where no rates are known."""
        longest = self._prediction(len(self._lengths) - 1)
        reading, writing = (
            longest.prefill_tokens_per_second,
            longest.decode_tokens_per_second,
        )
        if not (reading and writing):
            return None
        return Law(each=1 / writing, reading=1 / reading, writing=1 / writing)

    def forecast(self, prompt: int, total: int) -> Forecast:
        """Return what an answer takes that reads `prompt` tokens and holds `total` at its end."""
        found = self._prediction(self._at(total))
        reading = self._rate(attrgetter("prefill_tokens_per_second"), 2 * prompt)
        writing = self._rate(attrgetter("decode_tokens_per_second"), total)
        return replace(
            found,
            prefill_tokens_per_second=reading,
            decode_tokens_per_second=writing,
            calibrated={},
        ).forecast(prompt)

    def _at(self, length: int) -> int:
        """Return the place of the shortest length that is long enough, or of the longest."""
        return min(bisect_left(self._lengths, length), len(self._lengths) - 1)

    def _prediction(self, at: int) -> Prediction:
        length = self._lengths[at]
        if length not in self._made:
            self._made[length] = self._predict(length)
        return self._made[length]

    def _rate(self, rate: Callable[[Prediction], float | None], length: int) -> float | None:
        """Return tokens per second at a length between two that were predicted."""
        above = self._at(length)
        low, high = self._prediction(max(0, above - 1)), self._prediction(above)
        slow, fast = rate(high), rate(low)
        if slow is None or fast is None:
            return None
        width = high.context - low.context
        share = min(1.0, max(0.0, (length - low.context) / width)) if width else 1.0
        return 1 / ((1 - share) / fast + share / slow)
