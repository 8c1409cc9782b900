"""Made-up work for models that write about what they heard or saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import TypeVar, cast

from torch import Tensor

from fathom.errors import ContextLengthError
from fathom.generation.forward import CHUNK
from fathom.generation.looking import LookingState
from fathom.generation.state import ContiguousState
from fathom.models.cross_vision_language import CrossVisionLanguage, looked_at, sights
from fathom.models.decoder import Decoder
from fathom.models.omni import Omni
from fathom.models.speech import Speech
from fathom.models.speech_language import SpeechLanguage
from fathom.models.vision_language import VisionLanguage
from fathom.spec.audio import FRAMES_PER_SECOND
from fathom.spec.cross_vision_language import spans
from fathom.spec.speech import Speech as SpeechSpec
from fathom.spec.work import Work
from fathom.tasks.loads import Made, Passes
from fathom.tasks.transcribe_writers import ModuleSpeech, SpeechWriter

T = TypeVar("T")


def speech(runner: Speech | SpeechWriter, work: Work, made: Made) -> Passes:
    """A window heard, the begin of its text, and one more token."""
    writer: SpeechWriter
    if isinstance(runner, Speech):
        writer = ModuleSpeech(runner, dtype=made.dtype, device=made.device)
    else:
        writer = runner
    spec = cast(SpeechSpec, writer.spec)
    encoder, rows = spec.encoder, work.batch
    spectrogram = made.numbers(rows, encoder.bands, encoder.frames)
    opening = made.tokens(spec.vocabulary, rows, work.tokens or 1).tolist()
    heard = encoder.length(encoder.frames)
    course = writer.begin(rows=rows, capacity=spec.context, source=heard)
    hidden = [made.numbers(rows, heard, encoder.width)]

    def hear() -> None:
        hidden[0] = writer.hear(spectrogram)

    def write(tokens: Sequence[Sequence[int]]) -> object:
        return course.scores(tokens)

    def begin() -> object:
        course.hear(hidden[0])
        return write(opening)

    begin()
    last = [row[:1] for row in opening]
    return {"encoder": hear, "opening": begin, "decoder": _again(write, last, begin)}


def _again(
    write: Callable[[T], object], token: T, begin: Callable[[], object]
) -> Callable[[], object]:
    """Return what writes one more token, and begins afresh where there is no room for it."""

    def step() -> object:
        try:
            return write(token)
        except ContextLengthError:
            begin()
            return write(token)

    return step


def speech_language(module: SpeechLanguage, work: Work, made: Made) -> Passes:
    """Sounds heard, a prompt with what was heard, and one more token."""
    spec, encoder = module.spec, module.spec.encoder
    sounds = work.batch * (work.frames or 0)
    spectrogram = made.numbers(sounds, encoder.bands, encoder.frames)
    frames = [encoder.frames] * sounds
    read = (work.tokens or 0) + (work.frames or 0) * spec.places(work.seconds or 0.0)
    text = _Text(module.decoder, work, read, made)
    return {"encoder": text.keeping(lambda: module.hear(spectrogram, frames)), **text.passes}


def vision_language(module: VisionLanguage, work: Work, made: Made) -> Passes:
    """Pictures seen one after the other, a prompt with them, and one more token."""
    text = _Text(module.decoder, work, _places(module, work), made)
    pixels = made.numbers(*_shown(module, work))
    return {"vision": text.keeping(lambda: module.look(pixels)), **text.passes}


def omni(module: Omni, work: Work, made: Made) -> Passes:
    """Pictures seen, a sound heard, a prompt with both, and one more token."""
    frames = ceil((work.seconds or 0.0) * FRAMES_PER_SECOND)
    voiced = module.voiced(frames)
    text = _Text(module.decoder, work, _places(module, work) + voiced, made)
    pixels = made.numbers(*_shown(module, work))
    spectrogram = made.numbers(module.encoder.spec.bands, frames)
    return {
        "vision": text.keeping(lambda: module.look(pixels)),
        "encoder": text.keeping(lambda: module.hear(spectrogram)),
        **text.passes,
    }


def _places(module: VisionLanguage, work: Work) -> int:
    """Return the tokens of a prompt with its pictures."""
    each = module.spec.places(work.height or 1, work.width or 1)
    return (work.tokens or 0) + (work.frames or 0) * each


def _shown(module: VisionLanguage, work: Work) -> tuple[int, ...]:
    """Return the shape of what a tower is shown of a picture."""
    embedding = module.spec.vision.embedding
    shown = module.spec.sizing.shown(work.height or 1, work.width or 1)
    time = (embedding.frames,) if embedding.frames > 1 else ()
    return work.batch * shown.count, embedding.channels, *time, shown.height, shown.width


class _Text:
    """A decoder's part: a prompt of so many tokens, and more of them one by one."""

    def __init__(self, decoder: Decoder, work: Work, read: int, made: Made) -> None:
        self._decoder = decoder
        self._tokens = made.tokens(decoder.spec.vocabulary, work.batch, max(1, read))
        self._state = ContiguousState(
            decoder.spec,
            batch=work.batch,
            capacity=max(1, read) + max(1, work.written or 1),
            dtype=made.dtype,
            device=made.device,
        )
        self.kept: object = None

    def keeping(self, look: Callable[[], object]) -> Callable[[], None]:
        """Return what looks, or hears, and keeps what came of it, as a prompt does."""

        def keep() -> None:
            self.kept = look()

        return keep

    @property
    def passes(self) -> Passes:
        return {
            "reading": self._read,
            "writing": _again(self._write, self._tokens[:, :1], self._read),
        }

    def _read(self) -> None:
        self._state.reset()
        for chunk in self._tokens.split(CHUNK, dim=1):
            hidden = self._hidden(chunk)
        self._decoder.scores(hidden[:, -1])

    def _write(self, token: Tensor) -> None:
        self._decoder.scores(self._hidden(token)[:, -1])

    def _hidden(self, tokens: Tensor) -> Tensor:
        step = self._state.advance(tokens.shape[1])
        return self._decoder.hidden(tokens, step=step, state=self._state)


def cross_vision_language(module: CrossVisionLanguage, work: Work, made: Made) -> Passes:
    """Pictures seen one by one, a prompt that looks at them, and one more token."""
    return _Looked(module, work, made).passes


class _Looked:
    """What one text does that looks at pictures beside it."""

    def __init__(self, module: CrossVisionLanguage, work: Work, made: Made) -> None:
        spec, tower = module.spec, module.spec.vision
        self.module = module
        self.arranged = tower.arranged(work.height or 1, work.width or 1)
        tiles = self.arranged[0] * self.arranged[1]
        self.pixels = made.numbers(tiles, tower.patches.inputs, tower.side, tower.side)
        self.real = tiles * tower.places
        self.pictures = [
            made.numbers(tower.length, module.connector.weight.shape[0])
            for _ in range(work.frames or 0)
        ]
        read = (work.tokens or 0) + len(self.pictures)
        self.tokens = made.tokens(spec.vocabulary, 1, max(1, read))
        capacity = max(1, read) + max(1, work.written or 1)
        self.state = LookingState(spec.decoder, capacity, made.dtype, str(made.device))

    @property
    def passes(self) -> Passes:
        return {
            "vision": self._look,
            "reading": self._read,
            "writing": _again(self._write, self.tokens[:, :1], self._read),
        }

    def _look(self) -> None:
        self.pictures[:1] = [self.module.look(self.pixels, self.arranged)]

    def _read(self) -> None:
        self.state.reset()
        for chunk in self.tokens.split(CHUNK, dim=1):
            self._write(chunk)

    def _write(self, tokens: Tensor) -> None:
        used, source = self.state.own.used, None
        if self.pictures:
            ranges = spans(range(len(self.pictures)))
            seen = sights(ranges, used, used + tokens.shape[1])
            source = looked_at(self.pictures, [self.real] * len(self.pictures), seen)
        step = self.state.own.advance(tokens.shape[1])
        hidden = self.module.decoder.hidden(tokens, source, step=step, state=self.state)
        self.module.decoder.scores(hidden[:, -1])
