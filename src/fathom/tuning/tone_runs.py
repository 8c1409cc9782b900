"""Runs that train a tiny model of speech to write down the keys of a telephone by their tones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from zlib import crc32

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from fathom.checkpoint.published import published_spec
from fathom.inputs.sound_spectrogram import Hearing, log_mel
from fathom.spec.parts import count
from fathom.spec.speech import Speech
from fathom.tasks.transcribe_control import SECONDS_PER_STEP
from fathom.tuning.listening import NOTHING, Sounds, train, write
from fathom.tuning.recipe import LastLoss, Recipe, Report
from fathom.tuning.results import Outcome, Trained
from fathom.tuning.tones import RATE, TONES, Line, dialled, number, seconds

HEARING = Hearing(bands=40, seconds=3)
LONGEST = 12  # keys that fit in a window, dialled quickly
SHORTEST_TESTED = 5
GROWING = 0.25  # of the training, over which numbers grow to their full length
HELD_OUT = 5  # one number in so many is for testing alone
EDGE = 0.2  # seconds of a window that stay silent at least
LATEST = 0.8  # second at which dialling begins
# The tokens that steer, after those of the keys and before those of times, as their users expect.
STEERING = (
    *("<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>"),
    *("<|nospeech|>", "<|notimestamps|>"),
)
END, START, PREVIOUS, _, NO_TIMES = range(len(TONES), len(TONES) + len(STEERING))
TIMES = NO_TIMES + 1
STEPS = round(HEARING.seconds / SECONDS_PER_STEP)  # of time in a window


def held_out(keys: str) -> bool:
    """Return whether a number is for testing alone."""
    return crc32(keys.encode()) % HELD_OUT == 0


@dataclass(frozen=True)
class Dialled:
    """A window of sound with a number in it, and when its first tone begins and its last ends."""

    keys: str
    samples: NDArray[np.float32]
    begin: float
    end: float

    @property
    def tokens(self) -> list[int]:
        """The transcript: where it begins, the keys, where it ends."""
        keys = list(TONES)
        times = [TIMES + round(moment / SECONDS_PER_STEP) for moment in (self.begin, self.end)]
        return [START, times[0], *map(keys.index, self.keys), times[1], END]


class Maker:
    """Makes windows of sound with a number of up to so many keys on one side of the divide."""

    def __init__(self, seed: int, *, testing: bool) -> None:
        self._chance = default_rng(seed)
        self._testing = testing

    def __call__(self, amount: int, trained: float) -> Sounds:
        """Return spectrograms and transcripts; numbers are longer the further training is."""
        grown = min(1.0, trained / GROWING)
        most = round(2 + grown * (LONGEST - 2))
        made = [self.one(1, most) for _ in range(amount)]
        longest = max(len(each.tokens) for each in made)
        tokens = [each.tokens + [NOTHING] * (longest - len(each.tokens)) for each in made]
        return spectrograms(made), torch.tensor(tokens)

    def one(self, least: int, most: int) -> Dialled:
        """Return a window with a number of `least` to `most` keys."""
        while True:
            keys, line = number(self._chance, least, most), Line.drawn(self._chance)
            lasts = seconds(keys, line)
            if held_out(keys) is self._testing and lasts <= HEARING.seconds - EDGE:
                return placed(keys, line, lasts, self._chance)


def placed(keys: str, line: Line, lasts: float, chance: Generator) -> Dialled:
    """Return a number somewhere in a window of noise."""
    begin = float(chance.uniform(0, min(LATEST, HEARING.seconds - EDGE / 2 - lasts)))
    samples = (line.noise * chance.standard_normal(HEARING.samples)).astype(np.float32)
    tones = dialled(keys, line)
    first = round(begin * RATE)
    samples[first : first + len(tones)] += tones
    return Dialled(keys, samples, begin, begin + lasts)


def spectrograms(made: list[Dialled]) -> torch.Tensor:
    """Return what the model sees, (sounds, bands, frames)."""
    return torch.from_numpy(np.stack([log_mel(each.samples, HEARING) for each in made]))


@dataclass(frozen=True)
class ToneRun:
    """Numbers dialled by many hands on many lines, each new; `tested` are never trained on."""

    recipe: Recipe
    width: int = 64
    tested: int = 500
    lacking = ("average",)

    @property
    def config(self) -> dict[str, object]:
        """The configuration in its authors' words."""
        return {
            "model_type": "whisper",
            "architectures": ["WhisperForConditionalGeneration"],
            "vocab_size": TIMES + STEPS + 1,
            "num_mel_bins": HEARING.bands,
            "d_model": self.width,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 2 * self.width,
            "decoder_ffn_dim": 2 * self.width,
            "max_source_positions": HEARING.frames // 2,
            "max_target_positions": 24,
            "decoder_start_token_id": START,
            "eos_token_id": END,
            "bos_token_id": END,
            "pad_token_id": END,
        }

    def perform(
        self, recipe: Recipe, watch: Callable[[Report], None], without: str | None = None
    ) -> Trained:
        """Train and test; `without` "average" keeps the weights of the last step."""
        recipe = replace(recipe, average=0.0) if without == "average" else recipe
        watched = LastLoss(watch)
        described = published_spec(self.config)
        assert isinstance(described, Speech)
        began = perf_counter()
        source = Maker(recipe.seed + 1, testing=False)
        model = train(described, source, len(TONES), recipe, watched)
        lasted = perf_counter() - began
        maker = Maker(recipe.seed + 2, testing=True)
        tested = [maker.one(SHORTEST_TESTED, LONGEST) for _ in range(self.tested)]
        written = write(model, spectrograms(tested), START, END)
        right = sum(map(_right, tested, written)) / len(tested)
        outcome = Outcome(
            count(described), right, len(tested), "numbers it never heard", lasted, watched.loss
        )
        return Trained(model, self.config, outcome, {"keys": "".join(TONES)}, files())


def _right(asked: Dialled, written: list[int]) -> bool:
    keys = list(TONES)
    return "".join(keys[token] for token in written if token < len(keys)) == asked.keys


def files() -> Mapping[str, str]:
    """Return the texts by which others, and we, know how the model hears and what it writes."""
    stated = {
        "generation_config.json": {
            "is_multilingual": False,
            "decoder_start_token_id": START,
            "eos_token_id": END,
            "prev_sot_token_id": PREVIOUS,
            "no_timestamps_token_id": NO_TIMES,
            "max_length": 24,
        },
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": HEARING.bands,
            "sampling_rate": HEARING.rate,
            "n_fft": HEARING.window,
            "hop_length": HEARING.hop,
            "chunk_length": HEARING.seconds,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            "eos_token": STEERING[0],
            "bos_token": STEERING[0],
        },
    }
    texts = {name: json.dumps(content, indent=2) + "\n" for name, content in stated.items()}
    return {**texts, "tokenizer.json": _tokenizer()}


def _tokenizer() -> str:
    """Return a tokenizer whose words are single keys."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel as Bytes
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    found = Tokenizer(BPE({key: index for index, key in enumerate(TONES)}, []))
    found.pre_tokenizer = ByteLevel(add_prefix_space=False)
    found.decoder = Bytes()
    found.add_special_tokens([AddedToken(name, normalized=False) for name in STEERING])
    times = (f"<|{step * SECONDS_PER_STEP:.2f}|>" for step in range(STEPS + 1))
    found.add_tokens([AddedToken(time, normalized=False) for time in times])
    return str(found.to_str())
