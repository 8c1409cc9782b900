"""What answers are expected to take, from few predictions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fathom.planning.predict import Prediction
from fathom.serving.expecting import Expectation

CONTEXT = 3000


class Counting:
    """Predicts seconds per token that grow evenly with the length, and counts."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, length: int) -> Prediction:
        self.asked.append(length)
        terms = {"weights": 100, "state": length}
        rates = {"decode": 1 / seconds(length), "prefill": 10 / seconds(length)}
        named = {f"{name}_tokens_per_second": rate for name, rate in rates.items()}
        return Prediction("float32", length, 1, terms, **named)


def seconds(length: int) -> float:
    return 0.001 + 1e-6 * length


@given(st.integers(1, CONTEXT - 1), st.integers(1, CONTEXT))
def test_between_two_lengths_seconds_grow_evenly(prompt: int, more: int) -> None:
    total = min(prompt + more, CONTEXT)
    found = Expectation(CONTEXT, Counting()).forecast(prompt, total)
    expected = seconds(max(64, total))
    assert abs(1 / found.decode_tokens_per_second - expected) < 1e-9
    assert found.memory_bytes >= 100 + total
    assert found.seconds_to_first_token > 0


def test_a_length_is_predicted_once_and_only_when_it_is_needed() -> None:
    predict = Counting()
    expectation = Expectation(CONTEXT, predict)
    assert predict.asked == []
    for _ in range(3):
        expectation.forecast(100, 150)
    assert sorted(predict.asked) == [128, 256]
    expectation.forecast(2000, CONTEXT)
    assert sorted(predict.asked) == [128, 256, 2048, CONTEXT]
