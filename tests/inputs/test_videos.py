"""Videos: frames that are given, those of animated files, and which of them are looked at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fathom.errors import PictureError
from fathom.inputs import videos
from fathom.inputs.pictures import Picture
from fathom.inputs.videos import Video, moves, read_video, sampled

SHADES = [0, 50, 100, 150, 200, 250]


def stills() -> list[Image.Image]:
    return [Image.new("RGB", (12, 8), (shade, shade, shade)) for shade in SHADES]


def animated(kind: str, milliseconds: int = 250) -> bytes:
    first, *rest = stills()
    stream = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    first.save(
        stream, kind, save_all=True, append_images=rest, duration=milliseconds, loop=0, **options
    )
    return stream.getvalue()


def shades(video: Video) -> list[int]:
    return [int(frame.pixels[0, 0, 0]) for frame in video.frames]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animated_file_is_its_frames(kind: str, tmp_path: Path) -> None:
    content = animated(kind)
    (tmp_path / "film").write_bytes(content)
    for source in (content, tmp_path / "film", str(tmp_path / "film")):
        video = read_video(source)
        assert shades(video) == SHADES
        assert video.rate == pytest.approx(4.0)
        assert all(frame.pixels.shape == (8, 12, 3) for frame in video.frames)
    assert moves(tmp_path / "film")


def test_frames_may_be_given() -> None:
    array = np.stack([np.asarray(still) for still in stills()])
    for source in (stills(), tuple(array), array, [Picture(frame) for frame in array]):
        video = read_video(source)
        assert shades(video) == SHADES and video.rate is None
    assert len(read_video(stills()[0]).frames) == 1


def test_what_is_no_video_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still = tmp_path / "still.png"
    stills()[0].save(still)
    assert not moves(still) and len(read_video(still).frames) == 1
    (tmp_path / "broken.gif").write_bytes(animated("GIF")[:60])
    assert not moves(tmp_path / "nothing.gif")
    for source in ([], tmp_path / "broken.gif", b"\x00\x00\x00\x18ftypmp42", 3):
        with pytest.raises(PictureError):
            read_video(source)
    monkeypatch.setattr(videos, "MOST_FRAMES", 5)
    for source in (stills(), animated("GIF")):
        with pytest.raises(PictureError, match="6 frames"):
            read_video(source)


# Frames, their rate, and which are looked at of 4 to 20 at two to a second, by the rule that
# transformers states (``Qwen2VLVideoProcessor.sample_frames``; importing it asks for torchvision).
SAMPLED = [
    (6, 4.0, [0, 1, 3, 4]),  # three are too few
    (60, 10.0, list(range(0, 60, 5))),
    (61, 30.0, [0, 15, 30, 45]),
    (7, 1.0, [0, 1, 2, 3, 4, 5]),  # an even number of all there are
    (3, 2.0, [0, 1]),
    (240, 24.0, list(range(0, 240, 12))),
    (2400, 24.0, list(range(0, 2400, 120))),  # a hundred seconds: no more than twenty
]


@pytest.mark.parametrize(("frames", "rate", "chosen"), SAMPLED)
def test_frames_are_looked_at_by_the_published_rule(
    frames: int, rate: float, chosen: list[int]
) -> None:
    pictures = tuple(
        Picture(np.array([[[number // 100, number % 100, 0]]], dtype=np.uint8))
        for number in range(frames)
    )
    found = sampled(Video(pictures, rate), rate=2.0, least=4, most=20, group=2)
    numbers = [frame.pixels[0, 0].tolist() for frame in found.frames]
    assert [100 * hundreds + rest for hundreds, rest, _ in numbers] == chosen
    assert found.rate == pytest.approx(rate * len(chosen) / frames)


def test_frames_of_unknown_rate_are_taken_as_they_are() -> None:
    video = sampled(read_video(stills()), rate=2.0, least=4, most=5, group=2)
    assert shades(video) == SHADES[:5] and video.rate == 2.0
