"""Every error that a user can meet: what is wrong, where, and what to do about it.

A message is one line that names the remedy. The command line prints it and exits with
`exit_code`; a traceback appears only with `--debug`. Bugs of ours stay ordinary exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class FathomError(Exception):
    """Base of all errors that are about the input, the machine or the network, not about us."""

    exit_code = 2


class NotFoundError(FathomError):
    """A name, file, folder or repository that is not there."""


class FetchError(FathomError):
    """A download that could not be finished: no network, disk full, wrong checksum."""

    exit_code = 3


class ModelFileError(FathomError):
    """A file of a checkpoint that cannot be trusted or understood.

    Attributes:
        code: one word per kind of fault, such as ``E_TRUNCATED`` or ``E_OVERLAP``.
        file: the file in question, where there is one.
        offset: bytes from its start, where that is known.
    """

    def __init__(
        self, code: str, detail: str, *, file: Path | None = None, offset: int | None = None
    ) -> None:
        self.code = code
        self.file = file
        self.offset = offset
        place = "" if file is None else f"{file.name}"
        place += "" if offset is None else f" at byte {offset:,}"
        super().__init__(f"{place}: {detail} [{code}]" if place else f"{detail} [{code}]")


class ConfigError(FathomError):
    """A configuration that is incomplete, contradictory or out of range."""


class UnknownArchitectureError(FathomError):
    """A checkpoint of an architecture for which there is no dialect."""


class TensorMismatchError(FathomError):
    """The tensors of the file and the parameters of the model do not correspond."""


class TokenizerError(FathomError):
    """A tokenizer or chat template that is missing, broken or refuses its input."""


class ContextLengthError(FathomError):
    """A prompt, with the room asked for its answer, that exceeds the context."""


class RequestError(FathomError):
    """A request that makes no sense: an empty prompt, a temperature below zero."""


class UnsupportedTaskError(FathomError):
    """A task that this class of model cannot do; the message names one that can."""


class DoesNotFitError(FathomError):
    """A model that does not fit on this machine."""


class NumericError(FathomError):
    """Arithmetic that left the finite numbers: broken weights, or a type too narrow for them."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return ' Did you mean a, b or c?' for the closest known names, or an empty string."""
    close = get_close_matches(name, list(known), n=count, cutoff=0.5)
    if not close:
        return ""
    listed = close[0] if len(close) == 1 else ", ".join(close[:-1]) + " or " + close[-1]
    return f" Did you mean {listed}?"
