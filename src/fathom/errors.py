"""Every error that a user can meet: what is wrong, where, and what to do about it.

A message is one line that names the remedy. The command line prints it and exits with
`exit_code`; a traceback appears only with `--debug`. Bugs of ours stay ordinary exceptions.
`code` is one word per kind of fault, for programs; it is the same whichever door a file came by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

# What helps where a message about a file names no remedy of its own, behind a semicolon.
_AGAIN = "fetch it again, or take another copy of the model"
_REMEDIES: Mapping[str, str] = {
    "E_DTYPE": "take the model in another type or encoding",
    "E_LIMIT": "take the model from where it was published",
    "E_MAGIC": "choose another file",
    "E_PATH": "take the model from where it was published",
    "E_UNSAFE_CODE": "take the model as safetensors",
    "E_VERSION": "choose another file",
}

_COMPARABLE = 200  # characters of a name
_COMPARED = 20_000  # names: about a second


class FathomError(Exception):
    """Base of all errors that are about the input, the machine or the network, not about us."""

    exit_code = 2
    code = "E_INPUT"


class NotFoundError(FathomError):
    """A name, file, folder or repository that is not there."""

    code = "E_NOT_FOUND"


class FetchError(FathomError):
    """A download that could not be finished: no network, disk full, wrong checksum."""

    exit_code = 3
    code = "E_FETCH"


class WriteError(FathomError):
    """A result that could not be saved: disk full, read-only, somebody else's. Nothing is left."""

    exit_code = 4
    code = "E_WRITE"


class ModelFileError(FathomError):
    """A file of a checkpoint that cannot be trusted or understood.

    Attributes:
        code: one word per kind of fault, such as ``E_TRUNCATED`` or ``E_OVERLAP``.
        detail: what is wrong; the message adds a remedy where it names none.
        file: the file in question, where there is one.
        offset: bytes from its start, where that is known.
    """

    def __init__(
        self, code: str, detail: str, *, file: Path | None = None, offset: int | None = None
    ) -> None:
        self.code = code
        self.detail = detail
        self.file = file
        self.offset = offset
        told = detail if ";" in detail else f"{detail}; {_REMEDIES.get(code, _AGAIN)}"
        place = "" if file is None else f"{file.name}"
        place += "" if offset is None else f" at byte {offset:,}"
        super().__init__(f"{place}: {told} [{code}]" if place else f"{told} [{code}]")


class ConfigError(FathomError):
    """A configuration that is incomplete, contradictory or out of range."""

    code = "E_MISMATCH"


class UnknownArchitectureError(FathomError):
    """A checkpoint of an architecture for which there is no dialect."""

    code = "E_ARCHITECTURE"


class TensorMismatchError(FathomError):
    """The tensors of the file and the parameters of the model do not correspond."""

    code = "E_MISMATCH"


class TokenizerError(FathomError):
    """A tokenizer or chat template that is missing, broken or refuses its input.

    Attributes:
        code: as in `ModelFileError` where the file is at fault.
    """

    def __init__(self, message: str, *, code: str = "E_TOKENIZER") -> None:
        self.code = code
        super().__init__(message)


class PictureError(FathomError):
    """A picture that is broken, too large or of no known kind, or a place outside of it."""

    code = "E_PICTURE"


class ContextLengthError(FathomError):
    """A prompt, with the room asked for its answer, that exceeds the context."""

    code = "E_CONTEXT"


class RequestError(FathomError):
    """A request that makes no sense: an empty prompt, a temperature below zero."""

    code = "E_REQUEST"


class SoundError(FathomError):
    """Sound that is broken, cut short, too long or of an unknown kind."""

    code = "E_SOUND"


class UnsupportedTaskError(FathomError):
    """A task that this class of model cannot do; the message names one that can."""

    code = "E_TASK"


class DoesNotFitError(FathomError):
    """A model that does not fit on this machine."""

    code = "E_MEMORY"


class BusyError(FathomError):
    """A request that cannot be taken now and could be later.

    Attributes:
        retry_after: seconds after which to try again.
    """

    code = "E_BUSY"

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(FathomError):
    """An answer that was not whole in the time that it was given."""

    code = "E_DEADLINE"


class AnswerLostError(FathomError):
    """An answer that a fault of ours or a closing server ended; asking again may well help."""

    exit_code = 5
    code = "E_LOST"


class NumericError(FathomError):
    """Arithmetic that left the finite numbers: broken weights, or a type too narrow for them."""

    code = "E_NONFINITE"


class CatalogError(FathomError):
    """A data file of the catalogue that does not say what it should.

    Attributes:
        file: its name.
        line: counted from 1, where that is known.
    """

    def __init__(self, file: str, detail: str, *, line: int | None = None) -> None:
        self.file = file
        self.line = line
        place = file if line is None else f"{file}, line {line}"
        super().__init__(f"{place}: {detail}")


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return ' Did you mean a, b or c?' for the closest known names, or an empty string.

    Case does not count. Long or many names are not compared: the cost grows with the square of a
    stranger's text.
    """
    spelled = {each.casefold(): each for each in reversed(list(known))}
    if len(name) > _COMPARABLE or len(spelled) > _COMPARED:
        return ""
    found = get_close_matches(name.casefold(), spelled, n=count, cutoff=0.5)
    close = [spelled[each] for each in found]
    if not close:
        return ""
    listed = close[0] if len(close) == 1 else ", ".join(close[:-1]) + " or " + close[-1]
    return f" Did you mean {listed}?"
