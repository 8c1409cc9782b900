"""The tones of telephone keys as sound to learn from: numbers, dialled by some hand, on some line.

Each key is two tones at once, one for its row and one for its column (ITU-T Recommendation Q.23).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

RATE = 16_000  # samples a second
KEYS = ("123A", "456B", "789C", "*0#D")
ROWS = (697.0, 770.0, 852.0, 941.0)  # Hz
COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
TONES = {
    key: (ROWS[row], COLUMNS[column])
    for row, keys in enumerate(KEYS)
    for column, key in enumerate(keys)
}
EDGE = 0.004  # seconds in which a tone swells and fades, so that nothing clicks


@dataclass(frozen=True)
class Line:
    """How a number is dialled and how it arrives.

    `pressed` and `between` are seconds; `volume` is the loudness of a tone, `noise` that of the
    white noise beside it.
    """

    pressed: float = 0.1
    between: float = 0.08
    volume: float = 0.3
    noise: float = 0.0

    @classmethod
    def drawn(cls, chance: Generator) -> Line:
        """Return a random one, from a hasty hand on a poor line to a slow one on a good one."""
        return cls(
            pressed=float(chance.uniform(0.07, 0.14)),
            between=float(chance.uniform(0.06, 0.12)),
            volume=float(chance.uniform(0.1, 0.45)),
            noise=float(chance.uniform(0.0, 0.05)),
        )


def seconds(number: str, line: Line) -> float:
    """Return how long dialling a number takes, to the end of its last tone."""
    return len(number) * (line.pressed + line.between) - line.between


def dialled(number: str, line: Line) -> NDArray[np.float32]:
    """Return the tones of a number, (samples,) at `RATE`, without noise.

    Raises:
        KeyError: for a sign that is on no key.
    """
    moments = np.arange(round(line.pressed * RATE)) / RATE
    swell = np.minimum(1, np.minimum(moments, moments[::-1]) / EDGE)
    silence = np.zeros(round(line.between * RATE))
    pieces: list[NDArray[np.float64]] = []
    for key in number:
        tones = sum(np.sin(2 * np.pi * tone * moments) for tone in TONES[key])
        pieces += [line.volume * swell * tones, silence]
    return np.concatenate(pieces[:-1]).astype(np.float32)


def number(chance: Generator, least: int, most: int) -> str:
    """Return a random number of `least` to `most` keys."""
    length = int(chance.integers(least, most + 1))
    return "".join(chance.choice(list(TONES), length))
