"""What is said of one GGUF architecture: its keys, and what its files leave unsaid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]  # of a file's tensors, by name
Derive: TypeAlias = Callable[[Mapping[str, object], Shapes], Mapping[str, object]]


@dataclass(frozen=True)
class Spelling:
    """How GGUF writes one ``model_type``: key names that differ from most, and constants.

    `derive` works out what a file says in neither keys nor constants, from the configuration so
    far and the shapes of its tensors. Where the name stands for several ``model_type``s, it also
    tells these apart; `also` lists the others.
    """

    model_type: str
    keys: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)
    derive: Derive | None = None
    also: tuple[str, ...] = ()
