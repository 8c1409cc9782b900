"""Videos as lists of pictures: frames that are given, or those of an animated GIF, WebP or PNG.

Files of other formats need a codec, which Fathom does without.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from pathlib import Path

import numpy as np

from fathom.errors import PictureError
from fathom.inputs.pictures import Picture, Source, count_frames, read_frames, read_picture

MOST_FRAMES = 10_000


@dataclass(frozen=True)
class Video:
    """Frames in order, `rate` of them to a second; None where nobody knows."""

    frames: tuple[Picture, ...]
    rate: float | None = None


def read_video(source: object) -> Video:
    """Return the frames of a video.

    Args:
        source: a list of pictures, whatever `read_picture` takes, an array (frames, height,
            width, 3), or an animated file or its bytes. A picture that does not move is one frame.

    Raises:
        PictureError: for a frame that is no picture, a file of another kind, or far too many.
    """
    if isinstance(source, np.ndarray) and source.ndim == 4:
        source = list(source)
    if isinstance(source, list | tuple):
        _require_count(len(source))
        return Video(tuple(read_picture(frame) for frame in source))
    if isinstance(source, str | Path | bytes):
        frames, seconds = read_frames(source, MOST_FRAMES)
        return Video(frames, len(frames) / seconds if seconds else None)
    still: Source = source  # type: ignore[assignment]  # read_picture tells what it is not
    return Video((read_picture(still),))


def moves(file: Path) -> bool:
    """Tell whether a file is a picture of several frames; broken ones are told of when read."""
    try:
        return count_frames(file) > 1
    except PictureError:
        return False


def _require_count(count: int) -> None:
    if not 1 <= count <= MOST_FRAMES:
        raise PictureError(
            f"a video of {count:,} frames cannot be seen; give from 1 to {MOST_FRAMES:,}"
        )


def sampled(video: Video, rate: float, least: int, most: int, group: int) -> Video:
    """Return a video with about `rate` frames to a second, a multiple of `group` of them.

    No fewer than `least` and no more than `most`, as far as it has them; one whose rate nobody
    knows is taken as if it had been sampled already.
    """
    total = len(video.frames)
    if video.rate is None:
        return Video(video.frames[:most], rate)
    wanted = min(max(total / video.rate * rate, least), most, total)
    count = floor(wanted / group) * group
    if count == 0 or count >= total:
        return Video(video.frames[:most], video.rate)
    chosen = np.arange(count) * (total / count)
    frames = tuple(video.frames[int(index)] for index in chosen)
    return Video(frames, video.rate * count / total)
