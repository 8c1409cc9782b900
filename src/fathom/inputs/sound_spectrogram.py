"""Log-mel spectrograms: what a model of sound sees, a column of frequency bands each 10 ms.

The steps and their numbers are those of Whisper (Radford et al., 2022, arXiv 2212.04356), which
later models of sound have taken over: a Hann window, power, 80 or 128 mel bands by Slaney's
scale, log10 bounded to the loudest 80 dB, then (x + 4) / 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fathom.errors import ConfigError
from fathom.inputs.sound import Samples

if TYPE_CHECKING:
    from torch import Tensor

HIGHEST = 8000.0  # Hz, of the topmost band
FLOOR = 1e-10  # of a power, before its logarithm
RANGE = 8.0  # powers of ten below the loudest that are kept
_FRAMES = 6000  # worked out at a time: a minute
_LARGEST = 1 << 20  # of any number in the settings


@dataclass(frozen=True)
class Hearing:
    """How a model hears: `rate` samples a second, `window` of them every `hop`, `bands` of each.

    It is made for `seconds` at a time.
    """

    bands: int = 80
    rate: int = 16_000
    window: int = 400
    hop: int = 160
    seconds: int = 30

    @classmethod
    def published(cls, config: Mapping[str, object], bands: int, frames: int) -> Hearing:
        """Read it from a ``preprocessor_config.json``.

        The model itself takes so many `bands` and `frames` at a time.

        Raises:
            ConfigError: for a number out of range, or others than the model takes.
        """
        keys = {"rate": "sampling_rate", "window": "n_fft", "hop": "hop_length"}
        keys |= {"bands": "feature_size", "seconds": "chunk_length"}
        seconds = max(1, frames * cls.hop // cls.rate)
        stated: dict[str, int] = {"bands": bands, "seconds": seconds}
        for name, key in keys.items():
            value = config.get(key, stated.get(name, getattr(cls, name)))
            if type(value) is not int or not 0 < value < _LARGEST:
                raise ConfigError(f"preprocessor_config.json: '{key}' must be a whole number")
            stated[name] = value
        found = cls(**stated)
        if (found.bands, found.frames) != (bands, frames) or found.hop > found.window:
            raise ConfigError(
                f"preprocessor_config.json: {found.bands} bands and {found.frames:,} frames of"
                f" {found.hop} in {found.window} samples do not suit a model that takes {bands}"
                f" bands and {frames:,} frames; take it from the original model"
            )
        return found

    @property
    def samples(self) -> int:
        """Samples that the model is made for at a time."""
        return self.seconds * self.rate

    @property
    def frames(self) -> int:
        """Columns of a spectrogram of so many samples."""
        return self.samples // self.hop


def log_mel(samples: Samples, hearing: Hearing, *, least: int = 0) -> NDArray[np.float32]:
    """Return the spectrogram of a sound, (bands, samples // hop).

    `least` is the number of samples up to which silence is put after it. The loudest moment of
    the whole sound decides what is too soft to be kept, so an hour is taken minute by minute and
    bounded at the end.
    """
    import torch

    half, hop = hearing.window // 2, hearing.hop
    silence = max(0, least - len(samples), half + 1 - len(samples))
    padded = np.pad(np.pad(samples, (0, silence)), half, mode="reflect")
    frames = max(len(samples), least) // hop
    found = np.empty((hearing.bands, frames), np.float32)
    for start in range(0, frames, _FRAMES):
        end = min(frames, start + _FRAMES)
        piece = padded[start * hop : (end - 1) * hop + hearing.window]
        found[:, start:end] = _logarithms(torch.from_numpy(piece), hearing).numpy()
    loudest = found.max(initial=np.float32(np.log10(FLOOR)))
    np.maximum(found, loudest - np.float32(RANGE), out=found)
    found += np.float32(4.0)
    found /= np.float32(4.0)
    return found


def _logarithms(samples: Tensor, hearing: Hearing) -> Tensor:
    """(samples,) → (bands, frames): log10 of the power in each band."""
    import torch

    size, hop = hearing.window, hearing.hop
    window = torch.hann_window(size)
    waves = torch.stft(samples, size, hop, window=window, center=False, return_complex=True)
    bands = torch.from_numpy(mel_bands(hearing)).T @ waves.abs() ** 2
    return bands.clamp(min=FLOOR).log10()


@lru_cache(maxsize=4)
def mel_bands(hearing: Hearing) -> NDArray[np.float32]:
    """Return what each frequency gives to each band, (window // 2 + 1, bands).

    Triangles between points evenly spaced by Slaney's mel scale, each of one area (Slaney, 1998,
    Auditory Toolbox).
    """
    ends = np.linspace(_mel(0.0), _mel(HIGHEST), hearing.bands + 2)
    points = np.array([_hertz(end) for end in ends])
    frequencies = np.linspace(0, hearing.rate // 2, hearing.window // 2 + 1)
    slopes = points[None, :] - frequencies[:, None]
    widths = np.diff(points)
    falling, rising = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    triangles = np.maximum(0, np.minimum(falling, rising))
    areas: NDArray[np.float64] = 2.0 / (points[2:] - points[:-2])
    return (triangles * areas).astype(np.float32)


_LINEAR = 1000.0  # Hz up to which the scale is linear, 200 / 3 Hz to a mel
_LOGARITHMIC = 27.0 / np.log(6.4)  # mels to a factor of e above


def _mel(hertz: float) -> float:
    if hertz < _LINEAR:
        return 3.0 * hertz / 200.0
    return float(15.0 + _LOGARITHMIC * np.log(hertz / _LINEAR))


def _hertz(mel: float) -> float:
    if mel < 15.0:
        return 200.0 * mel / 3.0
    return float(_LINEAR * np.exp((mel - 15.0) / _LOGARITHMIC))
