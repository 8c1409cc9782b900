"""A model that hears speech, and its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from fathom.checkpoint.documents import read_json
from fathom.errors import RequestError
from fathom.library.cards import read_tokenizer
from fathom.library.forecasts import of_program
from fathom.library.processors import read_hearing
from fathom.library.staged import StagedModel, task
from fathom.ops.program_pair import ProgramPair
from fathom.planning.machine import this_machine
from fathom.planning.native_pair import NativePair
from fathom.planning.native_speech import written_natively
from fathom.planning.probe import measured_rates, usable_threads
from fathom.planning.stages import StagedPrediction
from fathom.planning.whole_layers import as_run
from fathom.spec.speech import Speech
from fathom.spec.work import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from fathom.inputs.sound import Sound
    from fathom.inputs.sound_spectrogram import Hearing
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.ops.program import Program
    from fathom.tasks.transcribe import Course, Manner, Transcriber
    from fathom.tasks.transcribe_writers import Heads, SpeechWriter
    from fathom.tasks.transcripts import Segment, Transcript

Timestamps = Literal["segment", "word"]


class SpeechModel(StagedModel):
    """A model of speech. Made by `open`."""

    spec: Speech
    tower: nn.Module | None = None  # what hears, where native programs write

    @property
    def kernels(self) -> str:
        """What it runs on, and why nothing faster is."""
        if self.program is None:
            return super().kernels
        from fathom.planning.kernels import kernels

        name, reason = kernels()
        why = f", because {reason}" if reason else ""
        hears = "PyTorch" if self.unpacked is None else "PyTorch with layers run whole"
        return f"a native program writes, {name} kernels{why}; {hears} in {self.dtype} hears"

    @property
    def loaded(self) -> nn.Module:
        """What of it lies in modules: all, or the tower alone."""
        return self._module if self.tower is None else self.tower

    @property
    def computing(self) -> str:
        """What measurements of it are told apart by: its type, and what it writes with."""
        packed = self._packed
        return self.dtype if packed is None else f"{self.dtype} and {packed.computing}"

    def fit(self, work: Work | None = None) -> StagedPrediction:
        """Predict memory and time on this machine; what the work leaves open is as usual."""
        found, packed, running = super().fit(work), self._packed, self.spec
        if packed is None:
            return found
        if self.unpacked is not None:
            running = as_run(self.spec, device="cpu", dtype=self.dtype)
        return written_natively(found, running, packed)

    @property
    def _packed(self) -> NativePair | None:
        """The programs that write, as predictions see them; None where modules do."""
        programs = self.program
        if not isinstance(programs, ProgramPair):
            return None
        return of_program(self.spec, programs, measured_rates())

    @cached_property
    def writer(self) -> SpeechWriter:
        """What windows go through: modules, or a tower of modules beside native programs."""
        import torch

        from fathom.tasks.transcribe_writers import ModuleSpeech, NativeSpeech

        if isinstance(self.program, ProgramPair) and self.tower is not None:
            return NativeSpeech(self.spec, self.program, self.tower, self._looking)
        dtype = getattr(torch, self.dtype)
        return ModuleSpeech(self._module, dtype=dtype, device=self.device)  # type: ignore[arg-type]

    def _looking(self, heads: Heads) -> Program:
        """Return the program that says where heads look, with the matrices of what writes."""
        from fathom.residency.programs import load_looking

        contents, programs = self._description.contents, self.program
        if contents is None or not isinstance(programs, ProgramPair):
            raise TypeError("only native programs of a checkpoint say where heads look")
        return load_looking(
            self.spec,
            contents,
            self._description.assignments(),
            heads,
            dtype=self.dtype,
            threads=usable_threads(this_machine()),
            packed=programs.matrices,
        )

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        return read_tokenizer(self._description)

    def prepare(self) -> None:
        """Load what the first transcript would otherwise wait for: code, rules, the tokenizer.

        Raises:
            TokenizerError, ConfigError: as `transcribe`.
        """
        import fathom.inputs.sound
        import fathom.inputs.sound_spectrogram  # noqa: F401

        _ = self._hearing, self._transcriber

    def transcribe(
        self,
        sound: Sound,
        *,
        language: str | None = None,
        task: str | None = None,
        timestamps: Timestamps | None = "segment",
        prompt: str | None = None,
        **options: object,
    ) -> Transcription:
        """Write down what is said in a sound; iterate over the result for its segments.

        Args:
            sound: a file, the bytes of one, or an array (samples,) or (samples, channels) at
                the model's own rate, which is 16 kHz for all that are published.
            language: its code or English name; detected in the first window unless given.
            task: "transcribe", or "translate" into English.
            timestamps: for each "segment", or for each "word" as well; None writes text alone,
                where the sound fits in one window.
            prompt: a text that is taken for what was said before: names, spellings, style.
            options: conditioned, temperatures, compression, logprob, silence, max_tokens and
                seed, as `tasks.transcribe.Manner` says.

        Raises:
            NotFoundError, SoundError: for a file that is not there, or no good sound.
            RequestError: for a language, task or option that the model does not know.
        """
        from fathom.inputs.sound_spectrogram import log_mel
        from fathom.tasks.transcribe import Course

        self._meter.start()
        samples = self._samples(sound)
        hearing = self._hearing
        short = len(samples) <= hearing.samples
        spectrogram = log_mel(samples, hearing, least=hearing.samples if short else 0)
        frames = max(1, min(spectrogram.shape[1], -(-len(samples) // hearing.hop)))
        found = self._language(spectrogram, language, task)
        manner = self._manner(found, task, timestamps, prompt, options)
        course = Course(frames)
        segments = self._transcriber.segments(spectrogram, course, manner)
        return Transcription(found, len(samples) / hearing.rate, course, segments)

    @task
    def detect_language(self, sound: Sound) -> dict[str, float]:
        """Return how likely each language is at the begin of a sound, by code, likeliest first.

        Raises:
            NotFoundError, SoundError: as `transcribe`.
            RequestError: the model knows one language only.
        """
        from fathom.inputs.sound_spectrogram import log_mel

        hearing = self._hearing
        samples = self._samples(sound)[: hearing.samples]
        return self._transcriber.languages(log_mel(samples, hearing, least=hearing.samples))

    def _samples(self, sound: Sound) -> NDArray[np.float32]:
        from fathom.inputs.sound import read_sound

        return read_sound(sound, self._hearing.rate)

    def _language(
        self, spectrogram: NDArray[np.float32], asked: str | None, task: str | None
    ) -> str | None:
        """Return the code of the language, asked for or heard; None where a file decides."""
        control = self._transcriber.control
        if asked is not None:
            return control.language(asked)
        if not control.languages:
            return "en"
        if control.forced and task is None:
            named = {id: code for code, id in control.languages.items()}
            return next((named[id] for id in control.forced if id in named), None)
        return next(iter(self._transcriber.languages(spectrogram)))

    def _manner(
        self,
        language: str | None,
        task: str | None,
        timestamps: Timestamps | None,
        prompt: str | None,
        options: Mapping[str, object],
    ) -> Manner:
        from fathom.tasks.transcribe import Manner

        if timestamps not in (None, "segment", "word"):
            raise RequestError(f"timestamps must be 'segment', 'word' or None, not {timestamps!r}")
        said: tuple[int, ...] = ()
        if prompt is not None:
            text = " " + prompt.strip()
            ids = self.tokenizer.encode(text, add_special=False, parse_special=False)
            said = tuple(ids)
        return Manner.asked(
            options,
            language=language,
            task=task,
            timed=timestamps is not None,
            worded=timestamps == "word",
            prompt=said,
        )

    @cached_property
    def _hearing(self) -> Hearing:
        return read_hearing(self._description, self.spec.encoder.bands, self.spec.encoder.frames)

    @cached_property
    def _transcriber(self) -> Transcriber:
        import torch

        from fathom.tasks.transcribe import Transcriber
        from fathom.tasks.transcribe_control import Control

        file = self._description.folder / "generation_config.json"
        stated = read_json(file) if file.is_file() else {}
        return Transcriber(
            self.writer,
            self.spec,
            Control.published(self._config, stated, self.tokenizer),
            self.tokenizer,
            dtype=getattr(torch, self.dtype),
            device=self.device,
            meter=self._meter,
        )


class Transcription:
    """A transcript on its way: iterate for segments, or ask for the whole.

    Work is done while iterating. What is there so far may be read at any time.

    Attributes:
        language: the code of what is spoken, asked for or detected; None where it is not known.
        seconds: how long the sound is.
        segments: those written so far.
    """

    def __init__(
        self, language: str | None, seconds: float, course: Course, found: Iterator[Segment]
    ) -> None:
        self.language = language
        self.seconds = seconds
        self.segments: list[Segment] = []
        self._course = course
        self._found = found

    def __iter__(self) -> Transcription:
        return self

    def __next__(self) -> Segment:
        """Return the next segment that has text."""
        while not (segment := next(self._found)).text.strip():
            continue
        self.segments.append(segment)
        return segment

    @property
    def heard(self) -> float:
        """Seconds of the sound that were dealt with so far."""
        return self.seconds * self._course.at / self._course.frames

    def finish(self) -> Transcript:
        """Hear the rest and return everything."""
        from fathom.tasks.transcripts import Transcript

        for _ in self:
            pass
        return Transcript(self.language, self.seconds, tuple(self.segments))
