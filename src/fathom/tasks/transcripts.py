"""What was said and when: words, segments, whole transcripts, and the forms people keep them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word as it was written, with the space before it, and when it was said, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech that the model wrote down at once.

    `logprob` is the mean logarithm of the probabilities of all tokens that were written with it,
    `silence` the probability that nobody spoke, `temperature` the one that it was written at: above
    0 where the likeliest tokens made no sense.
    """

    start: float  # seconds from the beginning of the sound
    end: float
    text: str
    tokens: tuple[int, ...]
    words: tuple[Word, ...] = ()
    logprob: float = 0.0
    silence: float | None = None
    temperature: float = 0.0


@dataclass(frozen=True)
class Transcript:
    """All that was said in a sound of so many seconds; `language` is a code such as "en"."""

    language: str | None
    seconds: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The segments joined."""
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments; none unless they were asked for."""
        return tuple(word for segment in self.segments for word in segment.words)


def plain_text(segments: Sequence[Segment]) -> str:
    """Return a line per segment."""
    return "".join(f"{segment.text.strip()}\n" for segment in segments)


def subrip(segments: Sequence[Segment]) -> str:
    """Return subtitles in the SubRip form (.srt): a number, times with commas, the text."""
    cues = (_cue(segment, ",") for segment in segments)
    return "".join(f"{number}\n{cue}\n\n" for number, cue in enumerate(cues, start=1))


def webvtt(segments: Sequence[Segment]) -> str:
    """Return subtitles in the WebVTT form (.vtt, W3C)."""
    return "WEBVTT\n\n" + "".join(f"{_cue(segment, '.')}\n\n" for segment in segments)


FORMS: Mapping[str, Callable[[Sequence[Segment]], str]] = {
    "text": plain_text,
    "srt": subrip,
    "vtt": webvtt,
}


def _cue(segment: Segment, point: str) -> str:
    """Return the times of a subtitle and its text: an arrow or a blank line within would end it."""
    text = " ".join(segment.text.replace("-->", "->").split())
    return f"{_clock(segment.start, point)} --> {_clock(segment.end, point)}\n{text}"


def _clock(seconds: float, point: str) -> str:
    """Return '01:02:03.450'."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
