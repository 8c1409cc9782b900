"""A model that answers one ask at a time: its queue is bounded, and says when a place is free."""

from __future__ import annotations

import threading

import pytest

from fathom.errors import BusyError
from fathom.serving import alone
from fathom.serving.alone import Alone
from waiting import LONGEST, wait_for


@pytest.mark.parametrize(("seconds", "told"), [(7.0, 7.0), (0.1, 1.0), (900.0, 60.0)])
def test_a_full_queue_says_how_long_an_ask_takes(
    seconds: float, told: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-10: no sooner than in a second, no later than in a minute."""
    clock = [0.0]

    def looked() -> float:
        clock[0] += seconds  # every look is so much later
        return clock[0]

    monkeypatch.setattr(alone, "monotonic", looked)
    one, gate = Alone(1, "slow"), threading.Event()
    try:
        assert one.submit(lambda: 5).result(LONGEST) == 5
        wait_for(lambda: one.held == 0)  # which is told after the result
        taken = [one.submit(lambda: gate.wait(LONGEST)) for _ in range(2)]
        with pytest.raises(BusyError) as refused:
            one.submit(lambda: None)
        assert refused.value.retry_after == pytest.approx(told)
        gate.set()
        assert all(each.result(LONGEST) for each in taken)
    finally:
        gate.set()
        one.close()
