"""Texts of several asks embedded together: what waits while a pass runs goes into the next one."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fathom.errors import FathomError
from fathom.library.model import Model
from fathom.serving.alone import Alone

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_TEXTS = 256  # of one pass over several asks; the model itself cuts them into batches by length


@dataclass(frozen=True)
class Wanted:
    """Texts of one ask, and where their vectors go."""

    texts: Sequence[str]
    options: Mapping[str, object]
    found: Future[NDArray[np.float32]] = field(default_factory=Future)


class Gatherer:
    """Embeds for many asks at once; texts of like length share a batch, whoever asked."""

    def __init__(self, alone: Alone, model: Model) -> None:
        self._alone = alone
        self._model = model
        self._lock = threading.Lock()
        self._waiting: list[Wanted] = []

    def embed(self, texts: Sequence[str], options: Mapping[str, object]) -> NDArray[np.float32]:
        """Return one vector per text; waits for it.

        Raises:
            BusyError: when too much waits already.
            FathomError: as the model's `embed`.
        """
        wanted = Wanted(texts, options)
        with self._lock:
            self._waiting.append(wanted)
        try:
            self._alone.submit(self._pass)
        except FathomError:
            with self._lock:
                if wanted in self._waiting:
                    self._waiting.remove(wanted)
            raise
        return wanted.found.result()

    def _pass(self) -> None:
        """Embed what waits, or nothing where an earlier pass took it along."""
        together = self._taken()
        if not together:
            return
        texts = [text for one in together for text in one.texts]
        try:
            vectors = self._model.embed(texts, **together[0].options)
        except FathomError as error:
            if len(together) == 1:
                together[0].found.set_exception(error)
            else:  # one ask's fault is not the others'
                for one in together:
                    self._single(one)
            return
        except BaseException as error:
            for one in together:
                one.found.set_exception(error)
            raise
        begin = 0
        for one in together:
            one.found.set_result(vectors[begin : begin + len(one.texts)])
            begin += len(one.texts)

    def _single(self, one: Wanted) -> None:
        try:
            one.found.set_result(self._model.embed(one.texts, **one.options))
        except FathomError as error:
            one.found.set_exception(error)

    def _taken(self) -> list[Wanted]:
        """Take the first that waits and those with its options, as many as a pass may hold."""
        with self._lock:
            together: list[Wanted] = []
            room = MOST_TEXTS
            for one in tuple(self._waiting):
                alike = not together or one.options == together[0].options
                if alike and (not together or len(one.texts) <= room):
                    together.append(one)
                    room -= len(one.texts)
            for one in together:
                self._waiting.remove(one)
            return together
