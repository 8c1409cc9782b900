"""Waiting for what another thread or process does: for the thing itself, never for some time."""

from __future__ import annotations

import time
from collections.abc import Callable

# Seconds in which anything comes that comes at all, on the busiest machine.
LONGEST = 300.0


def wait_for(come: Callable[[], object], seconds: float = LONGEST) -> None:
    """Wait until something is true, or fail."""
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
