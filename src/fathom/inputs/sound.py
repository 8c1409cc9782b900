"""Sound from a file, from bytes or from an array: one channel of float32 at a model's own rate.

libsndfile decodes (through soundfile) and soxr resamples, both block by block: a file costs the
memory of what it becomes, whatever its header claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fathom.errors import NotFoundError, RequestError, SoundError

if TYPE_CHECKING:
    import soundfile

Samples: TypeAlias = NDArray[np.float32]
Sound: TypeAlias = "str | Path | bytes | NDArray[np.generic]"

LONGEST = 6 * 3600  # seconds of one sound: 1.4 GB of samples at 16 kHz
RATES = range(1_000, 1_000_001)  # samples per second that a file may state
_BLOCK = 1 << 18  # numbers decoded at a time, all channels together
_UNSTATED = (0, 0xFFFFFFFF)  # lengths that programs write who do not know them yet

_LENGTHS = ("data", "SSND", "Riff size", "riff")  # what formats call what holds the samples

# How the files begin that may be decoded; libsndfile knows many more, few of them in use.
_BEGINNINGS = (b"RIFF", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b".snd")
_KINDS = "WAV, FLAC, OGG, MP3, AIFF, CAF and AU"


def read_sound(sound: Sound, rate: int) -> Samples:
    """Return sound as (samples,) float32 at `rate`, its channels averaged.

    An array, (samples,) or (samples, channels), is at that rate already; whole numbers are
    brought from the range of their type to [-1, 1].

    Raises:
        NotFoundError: there is no such file.
        SoundError: it is no sound, broken, cut short, silent of samples, too long, or holds
            numbers that are not finite.
        RequestError: soundfile and soxr are not installed.
    """
    if isinstance(sound, np.ndarray):
        return _checked(_mixed(_scaled(sound)), rate, "the array")
    where = "the sound" if isinstance(sound, bytes) else str(sound)
    with _opened(sound, where) as file:
        pieces = list(_resampled(file, rate, where))
    if not pieces:
        raise SoundError(f"{where} holds no samples; record or export it again")
    return _checked(np.concatenate(pieces), rate, where)


@contextmanager
def _opened(sound: str | Path | bytes, where: str) -> Iterator[soundfile.SoundFile]:
    """Open a sound whose first bytes are those of a known kind, and translate what goes wrong."""
    soundfile = _library("soundfile")
    source: BytesIO | Path = BytesIO(sound) if isinstance(sound, bytes) else Path(sound)
    _require_kind(_first_bytes(source), where)
    try:
        with soundfile.SoundFile(source) as file:
            _require_plain(file, where)
            yield file
    except soundfile.LibsndfileError as error:
        raise SoundError(
            f"{where} cannot be decoded ({str(error).strip(' .')}): it is broken or cut short;"
            " fetch or export it again"
        ) from error


def _library(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise RequestError(f"sound files need {name}: pip install 'fathom-models[sound]'") from None


def _first_bytes(source: BytesIO | Path) -> bytes:
    if isinstance(source, BytesIO):
        return source.getvalue()[:4]
    if not source.is_file():
        raise NotFoundError(f"{source}: there is no such sound file; check the path")
    with source.open("rb") as stream:
        return stream.read(4)


def _require_kind(first: bytes, where: str) -> None:
    """Only files of kinds in use reach the decoder; MP3 may begin with a frame of 11 ones."""
    frame = len(first) >= 2 and first[0] == 0xFF and first[1] & 0xE0 == 0xE0
    if not first:
        raise SoundError(f"{where} is empty; record or export it again")
    if not (frame or first.startswith(_BEGINNINGS)):
        raise SoundError(f"{where} is no sound of a known kind; convert it to one of {_KINDS}")


def _require_plain(file: soundfile.SoundFile, where: str) -> None:
    """Refuse rates that no recorder has, and what is longer or shorter than it may be."""
    if file.samplerate not in RATES:
        raise SoundError(
            f"{where} states {file.samplerate:,} samples a second; export it with a rate from"
            f" {RATES[0]:,} to {RATES[-1]:,}"
        )
    for line in file.extra_info.splitlines():
        # libsndfile mends the length of a WAV file that ends early, and says so in its log only.
        name, _, told = line.partition(":")
        stated, mends, _ = told.partition(" (should be ")
        if name.strip() not in _LENGTHS or not mends or not stated.strip().isdecimal():
            continue
        if int(stated) not in _UNSTATED:
            raise SoundError(f"{where} is cut short; fetch or export it again")


def _resampled(file: soundfile.SoundFile, rate: int, where: str) -> Iterator[Samples]:
    """Yield the sound at `rate`, in pieces that are not empty."""
    stream = None
    if file.samplerate != rate:
        stream = _library("soxr").ResampleStream(file.samplerate, rate, 1, dtype="float32")
    for block in _blocks(file, where):
        mixed = _mixed(block)
        piece = mixed if stream is None else stream.resample_chunk(mixed)
        if len(piece):
            yield piece
    if stream is not None:
        last = stream.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(last):
            yield last


def _blocks(file: soundfile.SoundFile, where: str) -> Iterator[Samples]:
    """Yield blocks (samples, channels), as many as the file really has.

    Raises:
        SoundError: there are fewer than it states, or more than may be.
    """
    most, read = LONGEST * file.samplerate, 0
    length = max(1, _BLOCK // file.channels)
    while len(block := file.read(length, dtype="float32", always_2d=True)):
        read += len(block)
        if read > most:
            hours = LONGEST // 3600
            raise SoundError(f"{where} is longer than {hours} hours; cut it into parts")
        yield block
    if read < file.frames < most:
        stated, held = file.frames / file.samplerate, read / file.samplerate
        raise SoundError(
            f"{where} is cut short: it states {stated:,.1f} s and holds {held:,.1f} s;"
            " fetch or export it again"
        )


def _scaled(array: NDArray[np.generic]) -> Samples:
    """Return any numbers as float32; whole ones from the range of their type."""
    if array.ndim not in (1, 2) or not np.issubdtype(array.dtype, np.number):
        raise SoundError(
            f"sound is an array (samples,) or (samples, channels) of numbers, not {array.dtype}"
            f" {list(array.shape)}; reshape it"
        )
    if np.issubdtype(array.dtype, np.integer):
        kind = np.iinfo(array.dtype.name)
        half = 2 ** (kind.bits - 1)  # unsigned ones have their silence in the middle
        centred = array.astype(np.float64) - (0 if kind.min else half)
        scaled: Samples = (centred / half).astype(np.float32)
        return scaled
    return array.astype(np.float32)


def _mixed(block: NDArray[np.float32]) -> Samples:
    """(samples, channels) → (samples,): the mean of the channels."""
    if block.ndim == 1:
        return block
    mixed: Samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    return mixed


def _checked(samples: Samples, rate: int, where: str) -> Samples:
    if not len(samples):
        raise SoundError(f"{where} holds no samples; record or export it again")
    if len(samples) > LONGEST * rate:
        raise SoundError(f"{where} is longer than {LONGEST // 3600} hours; cut it into parts")
    if not np.isfinite(samples).all():
        raise SoundError(f"{where} holds samples that are not finite numbers; export it again")
    return samples
