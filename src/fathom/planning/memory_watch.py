"""The most memory that this process held during a stretch of work.

On Linux the kernel keeps that figure itself (VmHWM) and lets it be reset, so the peak is exact.
Elsewhere, or where the reset is refused, a thread looks every few milliseconds, and a peak shorter
than that goes unseen; `Watch.exact` says which it was. File pages that are mapped count as well:
they are resident, and they are what a reader of `top` sees.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from pathlib import Path
from types import TracebackType

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the peak resident set size to the current one
_PAUSE = 0.002  # seconds between two looks of the thread


class Watch:
    """Use as a context manager; `peak` is in bytes and final after the block.

    Attributes:
        exact: whether the kernel kept the peak, or a thread that looks now and then.
    """

    def __init__(self) -> None:
        self.exact = False
        self.peak = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self.exact = reset_peak()
        if not self.exact:
            self.peak = resident()
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is None:
            self.peak = _status("VmHWM")
            return
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, resident())
            if self._ended.wait(_PAUSE):
                self.peak = max(self.peak, resident())
                return


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    return int(psutil.Process().memory_info().rss)


def settled() -> int:
    """Return the bytes held now, after giving back what nobody uses any more."""
    gc.collect()
    give_back()
    return resident()


def reset_peak() -> bool:
    """Let the kernel's peak begin anew; return whether it did."""
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False  # not Linux, or a sandbox that forbids it: the thread has to look
    return True


def _status(field: str) -> int:
    lines = _STATUS.read_text().splitlines()
    found = next(line for line in lines if line.startswith(f"{field}:"))
    return int(found.split()[1]) * 1024  # the file counts in KiB


def give_back() -> None:
    """Ask the C library to return free memory, which glibc keeps for later otherwise."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # another C library has its own manners
        trim(0)
