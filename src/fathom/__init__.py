"""Fathom: every class of AI model on the hardware you have.

Give it any open checkpoint and it says what it is, whether it fits and how fast it will be,
runs it, and shows what was really used beside what it predicted.

    import fathom

    model = fathom.open("smollm2:135m")
    for piece in model.generate("Once"):
        print(piece, end="")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fathom.library import Model, open

    __version__: str

__all__ = ["Model", "__version__", "open"]

# Names are resolved on first use (PEP 562), so that importing the package loads nothing heavy:
# even the version costs as much time as the rest of the command line, for it is in a file.
_HOME = {"open": "fathom.library", "Model": "fathom.library"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("fathom-models")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'fathom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
