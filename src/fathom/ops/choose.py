"""One operation, several variants: the definition, and faster ones that must agree with it.

The fastest variant that does not refuse runs. A refusal is a sentence and is kept, so that
nobody has to guess why a slow path was taken. `only("reference")`, or the environment variable
``FATHOM_VARIANT=reference``, holds every operation to one variant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_FROM_ENVIRONMENT: str | None = os.environ.get("FATHOM_VARIANT")
_only: ContextVar[str | None] = ContextVar("only", default=_FROM_ENVIRONMENT)


@contextmanager
def only(name: str) -> Iterator[None]:
    """Run every operation by the variant of this name, where it has one."""
    token = _only.set(name)
    try:
        yield
    finally:
        _only.reset(token)


@dataclass(frozen=True)
class Variant(Generic[P, R]):
    """A way to run an operation. `refuses` returns why not, given its arguments, or None."""

    name: str
    run: Callable[P, R]
    refuses: Callable[P, str | None]


@dataclass
class Operation(Generic[P, R]):
    """A reference and its faster variants, fastest first."""

    name: str
    reference: Callable[P, R]
    variants: Sequence[Variant[P, R]] = ()
    refusals: dict[str, str] = field(default_factory=dict)  # variant → the last reason

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        wanted = _only.get()
        for variant in self.variants:
            if wanted not in (None, variant.name):
                continue
            reason = variant.refuses(*args, **kwargs)
            if reason is None:
                return variant.run(*args, **kwargs)
            self.refusals[variant.name] = reason
        return self.reference(*args, **kwargs)
