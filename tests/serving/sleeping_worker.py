"""A worker whose steps sleep in native code, the interpreter's lock released, for as long as a file
says: a process that looks well and does not get on, or gets on slowly."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from fathom.generation.batching.executors import NativeExecutor
from fathom.generation.batching.track import Work
from fathom.serving.worker import main

LIBRARY = ctypes.CDLL(None)  # whose functions are called without the lock
SECONDS = Path(os.environ["FATHOM_TEST_STEP_SECONDS"])
taken = NativeExecutor.run


def run(self: NativeExecutor, works: Sequence[Work]) -> object:
    asked = SECONDS.read_text() if SECONDS.exists() else "0"
    if asked == "for ever":
        LIBRARY.pause()
    LIBRARY.usleep(int(1e6 * float(asked)))
    return taken(self, works)


NativeExecutor.run = run  # type: ignore[assignment,method-assign]
main()
