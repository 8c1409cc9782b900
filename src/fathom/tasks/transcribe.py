"""Transcribing: a spectrogram, window after window, to segments of text with times.

spectrogram ─ window ─► tower ─► decoder, token by token ─► believable? ─► segments ─┐
                 ▲                     ▲        no: warmer ─┘                        │
                 └─────────────────────┴── where the last segment ended, what it said ◄┘
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fathom.errors import ContextLengthError, NumericError, RequestError, nearest
from fathom.generation.pair_forward import PairCourse
from fathom.generation.stage_meter import StageMeter
from fathom.spec.speech import Speech as Spec
from fathom.tasks.transcribe_control import Control
from fathom.tasks.transcribe_rules import Rules
from fathom.tasks.transcribe_windows import FRAMES_PER_STEP, Cut, context_before, cut
from fathom.tasks.transcribe_words import Decoding, moments, words
from fathom.tasks.transcribe_writers import SpeechWriter
from fathom.tasks.transcripts import Segment, Word

FRAME = 0.01  # seconds
WARM = 0.5  # text written at this temperature or above is not gone on from


@dataclass(frozen=True)
class Manner:
    """How a sound is to be written down.

    Attributes:
        language: its code; None for an English model, or where the publisher's file decides.
        task: "transcribe", or "translate" into English.
        timed: whether times are written; a sound of several windows has them in any case.
        worded: whether words get times of their own.
        prompt: tokens of a text that is taken for what was said before.
        conditioned: whether each window goes on from what was written in those before.
        temperatures: tried in turn until a window's text is believable; 0 is the likeliest text.
        compression: text that zlib makes smaller by more than this repeats itself; None: never.
        logprob: text whose tokens' mean log-probability is below this is doubted; None: never.
        silence: doubted text is left out where the probability that nobody speaks is above this.
        seed: of the chance above temperature 0.
    """

    language: str | None = None
    task: str | None = None
    timed: bool = True
    worded: bool = False
    prompt: tuple[int, ...] = ()
    conditioned: bool = False
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression: float | None = 1.35
    logprob: float | None = -1.0
    silence: float | None = 0.6
    max_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperatures or any(not 0 <= each <= 2 for each in self.temperatures):
            raise RequestError("temperatures must be one or more numbers from 0 to 2")
        if self.silence is not None and self.logprob is None:
            raise RequestError("silence is judged where text is doubted; give logprob as well")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise RequestError("max_tokens must be at least 1")

    @classmethod
    def asked(cls, options: Mapping[str, object], **settled: object) -> Manner:
        """Return a manner from options by name; what is not given, or None, is as usual.

        Raises:
            RequestError: for an unknown option, with the nearest names, or a bad value.
        """
        known = {each.name for each in fields(cls)} - settled.keys()
        for name in options:
            if name not in known:
                raise RequestError(f"there is no option '{name}'.{nearest(name, sorted(known))}")
        try:
            return cls(**settled, **options)  # type: ignore[arg-type]  # checked there
        except TypeError as error:
            raise RequestError(f"an option has a value of another kind: {error}") from error


@dataclass(frozen=True)
class Written:
    """What a window became: tokens without the end, which was reached or not."""

    tokens: tuple[int, ...]
    ended: bool
    logprob: float
    silence: float | None
    temperature: float

    def believable(self, manner: Manner, end: int, vocabulary: int) -> bool:
        """Whether the text neither repeats itself nor surprises the model."""
        whole = (*self.tokens, end) if self.ended else self.tokens
        most = manner.compression
        repeats = most is not None and compression(whole, vocabulary) > most
        return not repeats and not self.doubted(manner)

    def doubted(self, manner: Manner) -> bool:
        """Whether the model itself did not find the text likely."""
        return manner.logprob is not None and self.logprob < manner.logprob

    def silent(self, manner: Manner) -> bool:
        """Whether nobody seems to speak."""
        if manner.silence is None or self.silence is None:
            return False
        return self.doubted(manner) and self.silence > manner.silence


@dataclass
class Course:
    """How far a transcript has come: frames of the sound dealt with, of all there are."""

    frames: int
    at: int = 0
    said: list[tuple[int, ...]] = field(default_factory=list)  # tokens of each segment


class Transcriber:
    """Writes down what one model hears."""

    def __init__(
        self,
        writer: SpeechWriter,
        spec: Spec,
        control: Control,
        coder: Decoding,
        *,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        meter: StageMeter | None = None,
    ) -> None:
        """Take a loaded model; `dtype` is the type that it hears in.

        Raises:
            ConfigError: what its publisher states names tokens or heads that it does not have.
        """
        control.check(spec.vocabulary, len(spec.layers), spec.layers[0].cross.heads)
        self.writer = writer
        self.spec = spec
        self.control = control
        self.coder = coder
        self.dtype = dtype
        self.device = torch.device(device)
        self.meter = meter or StageMeter(self.device)

    @torch.inference_mode()
    def languages(self, spectrogram: NDArray[np.float32]) -> dict[str, float]:
        """Return how likely each language is in the first window, by code, likeliest first.

        Raises:
            RequestError: the model knows one language only.
        """
        known = self.control.languages or {}
        if not known:
            raise RequestError(
                "this model knows English alone, so there is nothing to detect; transcribe at once"
            )
        course = self.course(1)
        course.hear(self.heard(self.window(spectrogram, 0)))
        scores = self.scores((self.control.start,), course)[-1]
        shares = scores[list(known.values())].softmax(dim=0).tolist()
        return dict(sorted(zip(known, shares, strict=True), key=lambda item: -item[1]))

    def segments(
        self, spectrogram: NDArray[np.float32], course: Course, manner: Manner
    ) -> Iterator[Segment]:
        """Yield the segments of a spectrogram (bands, columns), as far as the course leads.

        Raises:
            RequestError: the model cannot do what is asked.
            ContextLengthError: the prompt leaves no room for text.
        """
        passage = _Passage(self, course, manner)
        while course.at < course.frames:
            with torch.inference_mode():  # not around the yield, or the reader would be in it
                found = passage.next(self.window(spectrogram, course.at))
            yield from found

    def window(self, spectrogram: NDArray[np.float32], start: int) -> Tensor:
        """Return one window of a spectrogram, (1, bands, frames), with zeros after its end."""
        size = self.spec.encoder.frames
        heard = np.ascontiguousarray(spectrogram[:, start : start + size])
        missing = size - heard.shape[1]
        padded = np.pad(heard, ((0, 0), (0, missing))) if missing else heard
        return torch.from_numpy(padded)[None].to(self.device, self.dtype)

    def heard(self, window: Tensor) -> Tensor:
        """Hear one window, (1, bands, frames); return (1, positions, width)."""
        with self.meter.stage("encoder"):
            return self.writer.hear(window)

    def course(self, capacity: int) -> PairCourse:
        """Return room for a window that is heard and so many tokens written."""
        encoder = self.spec.encoder
        return self.writer.begin(rows=1, capacity=capacity, source=encoder.length(encoder.frames))

    def scores(
        self, tokens: Sequence[int], course: PairCourse, places: Sequence[int] = (-1,)
    ) -> Tensor:
        """Add tokens and return the scores at some of their places, (places, vocabulary) float32.

        They come back to the processor, where the rules are applied.
        """
        with self.meter.stage("decoder" if course.used else "opening"):
            return torch.as_tensor(course.scores([tokens], places)).float().cpu()


class _Passage:
    """One sound on its way to text."""

    def __init__(self, transcriber: Transcriber, course: Course, manner: Manner) -> None:
        spec, control = transcriber.spec, transcriber.control
        self.by = transcriber
        self.course = course
        self.manner = manner
        self.timed = manner.timed or manner.worded or course.frames > spec.encoder.frames
        self.opening = _opening(control, manner, timed=self.timed)
        self.rules = Rules(control, spec.vocabulary, timed=self.timed)
        self.writing = transcriber.course(spec.context)
        self.chance = torch.Generator().manual_seed(manner.seed)
        self.conditioned = manner.conditioned

    def next(self, window: Tensor) -> list[Segment]:
        """Return the segments of the next window, and move on to where the one after begins."""
        course, begun = self.course, self.course.at
        length = min(int(window.shape[2]), course.frames - begun)
        self.writing.hear(self.by.heard(window))
        before = self._before()
        written = self._believed(before)
        self.conditioned = self.manner.conditioned and written.temperature < WARM
        if written.silent(self.manner):
            course.at += length
            return []
        cuts, passed = cut(written.tokens, self.by.control.times, length)
        # A window that ends where it begins would be heard for ever.
        course.at += min(passed, length) or length
        course.said += [written.tokens[each.first : each.last] for each in cuts]
        spoken: list[tuple[float, float]] = []
        if self.manner.worded:
            spoken = self._spoken((*before, *self.opening), written, length)
        return [self._segment(written, each, begun * FRAME, spoken) for each in cuts]

    def _before(self) -> tuple[int, ...]:
        """Return what stands before the opening: what was given as said before, and was said."""
        previous = self.by.control.previous
        said: list[Sequence[int]] = [self.manner.prompt] if self.manner.prompt else []
        said += self.course.said if self.conditioned else []
        most = self.by.spec.context // 2 - 1
        tokens = context_before(said, self.by.control.times, most)
        return (previous, *tokens) if tokens and previous is not None else ()

    def _believed(self, before: tuple[int, ...]) -> Written:
        """Write a window at the first temperature at which the text is believable."""
        end, vocabulary = self.by.control.end, self.by.spec.vocabulary
        for temperature in self.manner.temperatures:
            written = self._write(before, temperature)
            if written.silent(self.manner) or written.believable(self.manner, end, vocabulary):
                break
        return written

    def _write(self, before: tuple[int, ...], temperature: float) -> Written:
        """Write a window from its opening to its end, or as long as there is room."""
        opening, control = (*before, *self.opening), self.by.control
        room = self.by.spec.context - len(opening)
        most = min(self.manner.max_tokens or room, room)
        if most < 1:
            raise ContextLengthError(
                f"{len(opening):,} tokens before the text fill the context of"
                f" {self.by.spec.context:,}; shorten the prompt"
            )
        self.writing.rewind()
        at_start, scores = self.by.scores(opening, self.writing, (len(before), -1))
        silence = control.silence
        silent = None if silence is None else at_start.softmax(dim=0)[silence].item()
        tokens: list[int] = []
        total = 0.0
        while True:
            token, logprob = self._choose(self.rules(scores, tokens), temperature)
            tokens.append(token)
            total += logprob
            if token == control.end or len(tokens) == most:
                break
            scores = self.by.scores((token,), self.writing)[0]
        ended = tokens[-1] == control.end
        text = tuple(tokens[:-1] if ended else tokens)
        return Written(text, ended, total / len(tokens), silent, temperature)

    def _choose(self, scores: Tensor, temperature: float) -> tuple[int, float]:
        """Return the next token and the logarithm of its probability at temperature 1."""
        highest = scores.max().item()
        if not math.isfinite(highest):
            raise NumericError(
                f"the model's best score is {highest}: its weights are broken or overflow in this"
                " type; try float32"
            )
        if temperature == 0:
            token = int(scores.argmax().item())
        else:
            shares = (scores / temperature).softmax(dim=0)
            token = int(torch.multinomial(shares, 1, generator=self.chance).item())
        return token, scores.log_softmax(dim=0)[token].item()

    def _spoken(
        self, opening: Sequence[int], written: Written, length: int
    ) -> list[tuple[float, float]]:
        """Return when each token of a window was said, (start, end) in seconds from its begin."""
        looked = written.tokens if written.ended else written.tokens[:-1]
        heads = self.by.control.heads or _upper_heads(self.by.spec)
        weights = self.by.writer.looks(self.writing, [*opening, *looked], heads)
        heard = weights[:, len(opening) :, : length // FRAMES_PER_STEP]
        ends = [round(end, 2) for end in moments(heard, self.by.control.filtered).tolist()]
        ends += ends[-1:] * (len(written.tokens) - len(ends))
        return list(zip([0.0, *ends], ends, strict=False))

    def _segment(
        self, written: Written, own: Cut, begun: float, spoken: list[tuple[float, float]]
    ) -> Segment:
        """Return a segment with its times in the whole sound."""
        end, last = self.by.control.end, self.course.frames * FRAME
        places = [at for at in range(own.first, own.last) if written.tokens[at] < end]
        text = [written.tokens[at] for at in places]
        said: tuple[Word, ...] = ()
        if spoken:
            times = [
                (round(begun + spoken[at][0], 2), round(begun + spoken[at][1], 2)) for at in places
            ]
            said = words(self.by.coder, text, times, self.manner.language)
        return Segment(
            start=round(min(begun + own.start, last), 2),  # a time may be one beyond the sound
            end=round(min(begun + own.end, last), 2),
            text=self.by.coder.decode(text),
            tokens=written.tokens[own.first : own.last],
            words=said,
            logprob=written.logprob,
            silence=written.silence,
            temperature=written.temperature,
        )


def _opening(control: Control, manner: Manner, *, timed: bool) -> tuple[int, ...]:
    """Return what opens a window's text: as asked, or as an older file says if nobody asks."""
    if manner.language is None and manner.task is None and control.forced:
        forced = [token for token in control.forced if token != control.no_times]
        closing = () if timed or control.no_times is None else (control.no_times,)
        return control.start, *forced, *closing
    return control.opening(manner.language, manner.task, timed=timed)


def _upper_heads(spec: Spec) -> tuple[tuple[int, int], ...]:
    """Return all heads of the upper half, where no file names those that follow speech."""
    count, heads = len(spec.layers), spec.layers[0].cross.heads
    return tuple((layer, head) for layer in range(count // 2, count) for head in range(heads))


def compression(tokens: Sequence[int], vocabulary: int) -> float:
    """Return how many times smaller zlib makes a text, of tokens in as few bytes as they need."""
    size = int(math.log2(vocabulary) / 8) + 1
    content = b"".join(token.to_bytes(size, "little") for token in tokens)
    return len(content) / len(zlib.compress(content))
