"""Which models a server offers: those it was told of, or all that this machine has.

Cards are read from headers and configurations; nothing is opened and nothing fetched.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fathom.catalog.starters import starters
from fathom.checkpoint.description import Description
from fathom.checkpoint.description import describe as describe_files
from fathom.checkpoint.sources.locate import cached
from fathom.errors import FathomError, NotFoundError, RequestError, UnsupportedTaskError, nearest
from fathom.library.describing import describe
from fathom.planning.grouping import require_known, require_packing
from fathom.planning.machine import this_machine
from fathom.planning.programs import why_modules
from fathom.serving.service import Offered
from fathom.spec.card import Card
from fathom.spec.tasks import possible
from fathom.spec.work import Staged

logger = logging.getLogger(__name__)

LONGEST_NAME = 256  # characters


@dataclass
class Shelf:
    """Offered models by name.

    Attributes:
        names: as they are asked for. A name that cannot be described is left out with a line in
            the log, or refused where somebody named it (`named`).
        quant: how the weights of each are packed as they are loaded; None for as they are stored.
            What cannot be packed so is as one that cannot be described.
    """

    names: Sequence[str]
    named: bool = True
    quant: str | None = None
    _found: dict[str, Offered] = field(default_factory=dict)
    _tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _broken: dict[str, FathomError] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, names: Sequence[str], quant: str | None = None) -> Shelf:
        """Return the shelf of these models, or without any of all that was fetched before.

        Raises:
            RequestError: for an unknown `quant`, with the nearest ones.
        """
        if quant is not None:
            require_known(quant)
        if names:
            return cls(tuple(dict.fromkeys(names)), True, quant)
        return cls(tuple(kept()), False, quant)

    def offered(self) -> Sequence[Offered]:
        """Return the models in the order in which they were named.

        Raises:
            FathomError: for a named one that cannot be described, or not be packed as `quant`.
        """
        with self._lock:
            for name in self.names:
                if name not in self._found and name not in self._broken:
                    self._read(name)
            return [self._found[name] for name in self.names if name in self._found]

    @property
    def read(self) -> bool:
        """Whether all that is offered was read before, so that finding it waits for no file."""
        return all(name in self._found or name in self._broken for name in self.names)

    def find(self, name: str) -> Offered:
        """Return the model with this name, with or without Ollama's ``:latest``.

        Raises:
            NotFoundError: when it is not offered.
        """
        if len(name) > LONGEST_NAME:
            raise NotFoundError(f"no model has a name of {len(name):,} characters")
        offered = {one.name: one for one in self.offered()}
        found = offered.get(name) or offered.get(name.removesuffix(":latest"))
        if found is None:
            raise NotFoundError(
                f"the model {name!r} is not offered here.{nearest(name, offered)}"
                " GET /v1/models lists those that are"
            )
        return found

    def require(self, offered: Offered, *tasks: str) -> None:
        """Refuse a task before anything is opened for it; one of several is enough.

        Raises:
            UnsupportedTaskError: naming what the model can do.
        """
        able = self._tasks[offered.name]
        if not set(tasks) & set(able):
            raise UnsupportedTaskError(
                f"{offered.name} cannot {tasks[0]}: its class is {offered.card.model_class}, and"
                f" it can {', '.join(able) or 'do nothing here'}"
            )

    def _read(self, name: str) -> None:
        try:
            card = describe(name)
            description = describe_files(Path(card.path))
            if self.quant is not None:
                modules = why_modules(description.spec, device=this_machine().device)
                require_packing(description, self.quant, modules)
            self._tasks[name] = _tasks(card, description)
        except FathomError as error:
            if self.named:
                raise
            self._broken[name] = error
            logger.info("%s is not offered: %s", name, error)
            return
        self._found[name] = Offered(name, card, card.stored_bytes, _modified(Path(card.path)))


def _tasks(card: Card, description: Description) -> tuple[str, ...]:
    """Return what a model can be asked for, as far as its configuration says."""
    spec = description.spec
    if isinstance(spec, Staged):
        return spec.about.tasks
    return possible(spec, chats=card.chat_template, infills=True)


def kept() -> Iterable[str]:
    """Yield the names of the models that were fetched before, by their shortest names."""
    known = {_package(starter.sources[0]): name for name, starter in starters().items()}
    for entry in cached():
        kind, _, place = entry.origin.partition(":")
        if kind == "pypi":
            short = known.get(_package(entry.origin))
            if short is not None:
                yield short
        else:
            yield place.partition("@")[0]


def _package(source: str) -> str:
    """Return ``pypi:name`` of a package, whatever its version and the path in it."""
    return source.partition("==")[0].partition("/")[0]


def _modified(path: Path) -> float:
    """Return when the weights were last changed, in seconds since 1970."""
    try:
        return path.stat().st_mtime
    except OSError as error:
        raise RequestError(f"{path.name} is no longer there; fetch it again") from error
