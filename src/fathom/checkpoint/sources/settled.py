"""Which files nobody changes in place: those that programs put there whole and replace whole."""

from __future__ import annotations

import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from fathom.checkpoint.sources import hub_cache
from fathom.checkpoint.storage import cache_folder

__all__ = ["is_settled"]


def is_settled(file: Path) -> bool:
    """Whether a file lies in Fathom's cache, in the hub's, or in an installed package.

    Only these are mapped while a model runs. Elsewhere anybody may write over a file, and one
    that becomes shorter ends every process that has mapped it.
    """
    real = file.resolve()
    return any(real.is_relative_to(folder.resolve()) for folder in _folders(real))


def _folders(real: Path) -> Iterator[Path]:
    yield cache_folder()
    for kind in ("purelib", "platlib"):
        yield Path(sysconfig.get_path(kind))
    yield Path(site.getusersitepackages())
    if real.parent.name == "blobs":  # where the hub's cache keeps bytes; asking it costs an import
        yield hub_cache.root()
