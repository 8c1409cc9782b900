"""A long sound taken window by window: what was written in one is cut into segments with times.

The next window begins where the last whole segment ended, as in the published model's own
program and in transformers, whose results the tests hold this to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.tasks.transcribe_control import SECONDS_PER_STEP

FRAMES_PER_STEP = 2  # columns of a spectrogram between one time and the next


@dataclass(frozen=True)
class Cut:
    """A segment of a window: the places [first, last) of its tokens, and steps of time."""

    first: int
    last: int
    start: float
    end: float


def cut(tokens: Sequence[int], times: int | None, frames: int) -> tuple[list[Cut], int]:
    """Return the segments of a window of so many frames, and the frames that were dealt with.

    `times` is the token of 0.00 s. A segment ends where two times stand side by side. What follows
    the last such pair is left to the next window, unless the window ends with a time alone: then
    nothing is said after it.
    """
    stamped = [times is not None and token >= times for token in tokens]
    zero = 0 if times is None else times
    single = stamped[-2:] == [False, True]
    ends = [at + 1 for at in range(len(tokens) - 1) if stamped[at] and stamped[at + 1]]
    if not ends:
        said = [at for at, is_time in enumerate(stamped) if is_time]
        last = frames / FRAMES_PER_STEP
        if said and tokens[said[-1]] != zero:
            last = tokens[said[-1]] - zero
        whole = Cut(0, len(tokens), 0.0, int(last) * SECONDS_PER_STEP)
        return [whole], frames
    if single:
        ends.append(len(tokens))
    else:
        ends[-1] += 1  # the second of the last pair shows that the segment is whole
    segments, first = [], 0
    for place, last in enumerate(ends):
        closing = -2 if place == len(ends) - 1 and not single else -1
        own = tokens[first:last]
        start, end = own[0] - zero, own[closing] - zero
        segments.append(Cut(first, last, start * SECONDS_PER_STEP, end * SECONDS_PER_STEP))
        first = last
    return segments, frames if single else (tokens[first - 2] - zero) * FRAMES_PER_STEP


def context_before(
    segments: Sequence[Sequence[int]], times: int | None, most: int
) -> tuple[int, ...]:
    """Return the last tokens of what was said before, to go on from.

    The second of two times at a segment's end is left out: the next one begins with it.
    """
    said: list[int] = []
    for tokens in segments:
        paired = times is not None and len(tokens) > 2 and tokens[-2] >= times
        said += tokens[:-1] if paired else tokens
    return tuple(said[-most:])
