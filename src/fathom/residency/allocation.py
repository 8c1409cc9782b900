"""How the C library hands out memory, set so that what tensors free goes back to the system.

glibc raises the size from which an array gets pages of its own each time such an array is freed,
up to 32 MiB; from then on activations come from a heap that they leave full of holes, and a
process holds up to twice the workspace that is ever alive. A fixed size keeps what is held equal
to what is alive, which is what a plan can promise.
"""

from __future__ import annotations

import ctypes
import sys

OWN_PAGES = 2**20  # bytes from which an array gets pages of its own
_M_MMAP_THRESHOLD = -3  # mallopt(3)


def hold_what_is_alive() -> bool:
    """Fix the size from which arrays get their own pages; return whether the C library obeys."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and needs none
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, OWN_PAGES))
