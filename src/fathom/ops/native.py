"""The compiled kernels, or why there are none."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def native() -> ModuleType | str:
    """Return the extension module, or a sentence that says why it is not here."""
    try:
        return import_module("fathom.ops.kernels._native")
    except ImportError as error:
        return (
            f"the native kernels are not installed ({error}); install a C++20 compiler and"
            " Fathom again"
        )
