"""Which native kernels this processor runs: the one thing that planning asks of what computes."""

from __future__ import annotations

from fathom.ops.native import native


def why_none() -> str | None:
    """Return why there are no native kernels here; None where there are."""
    module = native()
    return module if isinstance(module, str) else None


def kernels() -> tuple[str, str]:
    """Return the name of the native kernels in use, and why there are no better ones ("").

    Raises:
        RuntimeError: where there are none.
    """
    module = native()
    if isinstance(module, str):
        raise RuntimeError(module)
    name, reason = module.best()
    return str(name), str(reason)
