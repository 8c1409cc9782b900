"""A stand-in for `fathom.library`: a model that repeats what it was told, word by word.

Run as a program it is the command line with this library in place, for tests that need a
process of their own: `python fake_library.py run echo`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

from fathom.checkpoint.sources.location import Location
from fathom.errors import ContextLengthError, NotFoundError
from fathom.generation.reasoning import Piece
from fathom.planning.costs import Cost
from fathom.planning.explanation import Explanation
from fathom.spec.card import Card
from fathom.tasks.transcripts import Segment, Transcript, Word

CARD = Card(
    name="echo",
    origin="file:echo.gguf",
    path="echo.gguf",
    format="gguf",
    title="Echo",
    architecture="llama",
    model_class="SLM",
    parameters=134_515_008,
    active_parameters=134_515_008,
    context=64,
    vocabulary=1000,
    stored_bytes=3000,
    bytes_by_encoding={"F32": 1000, "Q4_1": 2000},
    tensors=2,
    licence=None,
    tokenizer="BPE, 1,000 tokens",
    chat_template=True,
    notes=("made up",),
)
FILE = Path("echo.gguf")


@dataclass
class Usage:
    prompt_tokens: int
    completion_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass
class Measured:
    seconds_to_first_token: float = 0.14
    prefill_tokens_per_second: float = 298.0
    decode_tokens_per_second: float | None = None  # one token has no rate
    peak_memory_bytes: int = 402_000_000
    load_seconds: float = 0.9


@dataclass
class Predicted:
    seconds_to_first_token: float = 0.12
    prefill_tokens_per_second: float = 310.0
    decode_tokens_per_second: float = 41.26
    memory_bytes: int = 310_000_000
    calibrated_from: int = 0
    raw: object = None

    def memory_after(self, prompt_tokens: int, tokens: int) -> int | None:
        return self.memory_bytes


@dataclass
class Generation:
    """Streams `words`. The word 'slowly' makes every later word take its time."""

    words: list[str]
    usage: Usage
    finish_reason: str | None = None
    text: str = ""
    reasoning: str = ""
    measured: Measured = field(default_factory=Measured)
    predicted: Predicted = field(default_factory=Predicted)
    logprobs: list[float] | None = None
    notes: tuple[str, ...] = ()
    kernels: str = "native program, portable kernels, because they are made up"

    def __iter__(self) -> Iterator[Piece]:
        for word in map(_piece, self.words):
            time.sleep(0.05 if "slowly" in self.words else 0)
            self.text += word
            self.reasoning += word.reasoning
            self.usage.completion_tokens += 1
            yield word
        self.finish_reason = "stop"


def _piece(word: str) -> Piece:
    """Return a word of the answer; one that begins with ~ is reasoning."""
    return Piece("", word[1:]) if word.startswith("~") else Piece(word)


SEGMENTS = (
    Segment(
        0.0, 1.5, " Hello there.", (1, 2), (Word(" Hello", 0.0, 0.5), Word(" there.", 0.5, 1.5))
    ),
    Segment(1.5, 3.0, " Bye.", (3,), (Word(" Bye.", 1.5, 3.0),)),
)


@dataclass
class Forecast:
    total_seconds: float = 0.4


@dataclass
class Transcription:
    """Says `SEGMENTS`, whatever it hears."""

    language: str = "en"
    seconds: float = 3.0
    heard: float = 0.0

    def __iter__(self) -> Iterator[Segment]:
        for segment in SEGMENTS:
            self.heard = segment.end
            yield segment

    def finish(self) -> Transcript:
        return Transcript(self.language, self.seconds, SEGMENTS)


@dataclass
class Model:
    card: Card
    calls: list[dict[str, object]] = field(default_factory=list)
    kernels: str = "a native program writes, portable kernels"

    @property
    def tasks(self) -> tuple[str, ...]:
        return ("chat", "generate") if self.card.chat_template else ("generate",)

    def generate(self, prompt: str, **options: object) -> Generation:
        self.calls.append({"prompt": prompt, **options})
        logprobs = [float("-inf")] if "logprobs" in options else None
        return Generation([f"{prompt}…"], Usage(1), logprobs=logprobs)

    def chat(
        self, messages: list[dict[str, str]], tools: object = None, **options: object
    ) -> Generation:
        self.calls.append({"messages": messages, **options})
        question = messages[-1]["content"]
        if question == "too long":
            raise ContextLengthError("70 tokens exceed the context of 64")
        words = [f"{len(messages)}:", *(f" {word}" for word in question.split())]
        if question == "think":
            words = ["~hm", "~ so\n", "yes", "!"]
        if "slowly" in question:
            words = ["slowly", *(f" {number}" for number in range(1000))]
        return Generation(words, Usage(len(messages)))

    def prepare(self) -> None:
        """Nothing is left to load."""

    def transcribe(self, sound: object, **options: object) -> Transcription:
        self.calls.append({"sound": sound, **options})
        return Transcription()

    def fit(self, work: object = None) -> Forecast:
        return Forecast()

    def embed(self, texts: list[str], **options: object) -> np.ndarray:
        self.calls.append({"texts": list(texts), **options})
        return np.array([[0.5, -1.0], [2.0, 0.25]], dtype=np.float32)[: len(texts)]


LAST: list[Model] = []


def _known(name: str) -> None:
    if name not in ("echo", "bare"):
        raise NotFoundError(f"there is no model {name!r}.\nTry echo")


def open(name: str, **options: object) -> Model:
    _known(name)
    model = Model(CARD if name == "echo" else Card(**{**vars(CARD), "chat_template": False}))
    model.calls.append({"open": name, **options})
    LAST[:] = [model]
    return model


def describe(name: str, **options: object) -> Card:
    _known(name)
    return CARD


def explain(name: str, **options: object) -> Explanation:
    _known(name)
    return Explanation(
        name,
        architecture="llama",
        model_class="SLM",
        rule="it is small",
        limit=64,
        context=64,
        weights="as stored",
        state="bfloat16",
        outline="Decoder of 1 parameter",
        sections=(),
        cost=Cost(parameters=1, active=1, weight_bytes=2),
        roles=(),
        code=(),
    )


def locate(name: str, **options: object) -> Location:
    _known(name)
    return Location(name, "file", "file:echo.gguf", FILE, "cache", size=3000, sha256="ab" * 32)


def convert(name: str, folder: Path, **options: object) -> Path:
    _known(name)
    return Path(folder)


def install() -> ModuleType:
    """Put this module where `fathom.library` would be."""
    module = sys.modules[__name__]
    sys.modules["fathom.library"] = module
    return module


if __name__ == "__main__":
    os.environ["FATHOM_RECORD"] = "0"  # what is made up is not to be learnt from
    install()
    from fathom.cli.main import main

    sys.exit(main())
