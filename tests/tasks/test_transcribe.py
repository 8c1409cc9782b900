"""Transcripts against transformers' own, token for token, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import GenerationConfig, WhisperForConditionalGeneration
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor
from transformers.models.whisper import generation_whisper, tokenization_whisper

from fathom import library
from fathom.errors import ConfigError, RequestError, SoundError
from fathom.library.speech import SpeechModel
from fathom.ops.native import native
from fathom.tasks.transcribe import Course, Manner, compression
from fathom.tasks.transcribe_control import Control
from fathom.tasks.transcribe_rules import Rules
from fathom.tasks.transcribe_words import warp, words
from fathom.tasks.transcripts import FORMS, Segment
from parity.cases_speech.whisper import SMALL
from parity.speech_case import END, IDS, TIMES, VOCABULARY, WINDOW, SpeechCase, build_speech

RATE, SECOND = 16_000, 100  # samples and frames
PREVIOUS = IDS["<|startofprev|>"]
SAID = [100, 101, 102, 103]  # a prompt
PLAIN = {"temperatures": (0.0,), "compression": None, "logprob": None, "silence": None}


@dataclass(frozen=True)
class Tiny:
    """One model twice, over one checkpoint."""

    ours: SpeechModel
    theirs: WhisperForConditionalGeneration
    folder: Path

    def tokens(self, spectrogram: NDArray[np.float32], **manner: object) -> list[int]:
        """Return the tokens that ours writes about a spectrogram."""
        return [token for each in self.segments(spectrogram, **manner) for token in each.tokens]

    def segments(self, spectrogram: NDArray[np.float32], **manner: object) -> list[Segment]:
        asked = Manner(**{**PLAIN, "language": "de", **manner})
        course = Course(spectrogram.shape[1])
        return list(self.ours._transcriber.segments(spectrogram, course, asked))

    def generate(self, spectrogram: NDArray[np.float32], **how: object) -> object:
        asked = {"language": "de", "task": "transcribe", "return_timestamps": True, **how}
        torch.manual_seed(5)
        return self.theirs.generate(torch.from_numpy(spectrogram)[None], **asked)


# Seeds, and the type that is asked for: with one modules write, without one native programs do.
WAYS = {"modules": (0, "float32"), "native": (1, None), "native, cut off": (2, None)}


@pytest.fixture(scope="module", params=WAYS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Models that write different things: with times in them, to their end or until cut off."""
    folder = tmp_path_factory.mktemp("speech")
    seed, dtype = WAYS[request.param]
    case = SpeechCase("whisper", "seed" + "x" * seed, SMALL)
    theirs = build_speech(case, folder).model
    generator = torch.Generator().manual_seed(seed)
    for parameter in theirs.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    theirs.model.decoder.embed_tokens.weight.data *= 2
    theirs.save_pretrained(folder)
    ours = library.open(str(folder), dtype=dtype, device="cpu")
    assert isinstance(ours, SpeechModel)
    assert (ours.program is None) == (dtype is not None or isinstance(native(), str))
    return Tiny(ours, theirs, folder)


def noise(frames: int) -> NDArray[np.float32]:
    return np.random.default_rng(frames).normal(size=(16, frames)).astype(np.float32)


LONG = noise(330)  # three windows and a part of one
# What is asked of both: as transformers spells it, and as we do.
ASKED: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    "long": ({}, {}),
    "translated": ({"task": "translate"}, {"task": "translate"}),
    "conditioned": ({"condition_on_prev_tokens": True}, {"conditioned": True}),
    "prompted": ({"prompt_ids": torch.tensor([PREVIOUS, *SAID])}, {"prompt": tuple(SAID)}),
    "prompted and conditioned": (
        {"prompt_ids": torch.tensor([PREVIOUS, *SAID]), "condition_on_prev_tokens": True},
        {"prompt": tuple(SAID), "conditioned": True},
    ),
    "warmer": (
        {"temperature": (0.0, 0.8), "logprob_threshold": -2.0, "compression_ratio_threshold": 1.3},
        {"temperatures": (0.0, 0.8), "logprob": -2.0, "compression": 1.3, "seed": 5},
    ),
    "warmer and conditioned": (
        {
            "temperature": (0.0, 0.4, 0.9),
            "logprob_threshold": -1.0,
            "condition_on_prev_tokens": True,
        },
        {"temperatures": (0.0, 0.4, 0.9), "logprob": -1.0, "conditioned": True, "seed": 5},
    ),
    "silent": (
        {"temperature": (0.0,), "logprob_threshold": -1.0, "no_speech_threshold": 1e-3},
        {"logprob": -1.0, "silence": 1e-3},
    ),
    "cut off": ({"max_new_tokens": 7}, {"max_tokens": 7}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ASKED)
def test_long_sound_becomes_the_references_tokens(name: str, tiny: Tiny) -> None:
    theirs, ours = ASKED[name]
    found = tiny.generate(LONG, top_k=0, **theirs)
    written = found["sequences"] if isinstance(found, dict) else found
    expected = [token for token in written[0].tolist() if token != END]
    assert tiny.tokens(LONG, **ours) == expected


@pytest.mark.filterwarnings("ignore")
def test_one_window_without_times_is_the_references(tiny: Tiny) -> None:
    found = tiny.generate(noise(WINDOW), return_timestamps=False)
    expected = [token for token in found[0].tolist() if token != END]
    assert tiny.tokens(noise(WINDOW), timed=False) == expected


@pytest.mark.filterwarnings("ignore")
def test_moments_of_words_are_the_references(tiny: Tiny) -> None:
    """A word ends where the last of its tokens does, to the hundredth that is shown."""
    mask = torch.ones(1, LONG.shape[1], dtype=torch.long)
    asked = {"return_token_timestamps": True, "return_segments": True, "attention_mask": mask}
    found = tiny.generate(LONG, **asked)["segments"][0]
    segments = tiny.segments(LONG, worded=True)
    assert any(segment.words for segment in segments)
    for ours, theirs in zip(segments, found, strict=True):
        tokens, times = theirs["tokens"].tolist(), theirs["token_timestamps"].tolist()
        assert list(ours.tokens) == tokens
        said = [round(time, 2) for token, time in zip(tokens, times, strict=True) if token < END]
        ends = [word.end for word in ours.words]
        assert set(ends) <= set(said)
        assert ends[-1:] == said[-1:]


def test_the_language_is_the_references(tiny: Tiny) -> None:
    spectrogram = noise(WINDOW)
    theirs = tiny.theirs.detect_language(
        torch.from_numpy(spectrogram)[None], num_segment_frames=WINDOW
    )
    likely = tiny.ours._transcriber.languages(spectrogram)
    assert IDS[f"<|{next(iter(likely))}|>"] == theirs.item()
    assert sum(likely.values()) == pytest.approx(1)


CONTROL = Control(
    IDS["<|startoftranscript|>"], END, no_times=TIMES - 1, latest_first=10, never=(5,)
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, END - 1, TIMES, TIMES + 3, TIMES + 9, TIMES + 40]), max_size=6),
    st.integers(0, 9),
)
def test_rules_are_the_references(written: list[int], seed: int) -> None:
    scores = 3 * torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed))
    config = GenerationConfig(eos_token_id=END)
    config.no_timestamps_token_id, config.max_initial_timestamp_index = TIMES - 1, 10
    reference = WhisperTimeStampLogitsProcessor(config, begin_index=2)
    unwritable = scores.clone()
    unwritable[5] = -torch.inf
    expected = reference(torch.tensor([[0, 0, *written]]), unwritable[None])[0]
    assert torch.equal(Rules(CONTROL, VOCABULARY, timed=True)(scores, written), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))
def test_the_cheapest_path_is_the_references(rows: int, columns: int, seed: int) -> None:
    grid = np.random.default_rng(seed).normal(size=(rows, columns)).round(seed % 3)
    ours, theirs = warp(grid), generation_whisper._dynamic_time_warping(grid)
    assert all(np.array_equal(own, their) for own, their in zip(ours, theirs, strict=True))


class Coder:
    """What the reference wants of a tokenizer, over ours."""

    eos_token_id = END

    def __init__(self, model: SpeechModel) -> None:
        self.tokenizer = model.tokenizer

    def decode(self, ids: list[int], decode_with_timestamps: bool = False) -> str:
        return self.tokenizer.decode(ids, skip_special=False)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "text", [" Hello, “world” (again)! It's 3.5 %...", " Grüße,¿qué? 你好。世界!", " a  b", "''"]
)
def test_words_are_the_references(text: str, language: str, tiny: Tiny) -> None:
    tokens = tiny.ours.tokenizer.encode(text, add_special=False)
    named = {"en": "english", "zh": "chinese"}[language]
    theirs, _, places = tokenization_whisper._combine_tokens_into_words(
        Coder(tiny.ours), list(tokens), named
    )
    ours = words(tiny.ours.tokenizer, tokens, [(n, n + 1) for n in range(len(tokens))], language)
    assert [word.text for word in ours] == theirs
    assert [(word.start, word.end) for word in ours] == [(p[0], p[-1] + 1) for p in places]


def test_repetition_is_measured_as_the_reference_does() -> None:
    for tokens in ([1] * 50, list(range(200)), [7]):
        theirs = WhisperForConditionalGeneration._retrieve_compression_ratio(
            torch.tensor(tokens), 51865
        )
        assert compression(tokens, 51865) == theirs


class TestModel:
    """The public face, over real samples."""

    def sound(self, seconds: float) -> NDArray[np.float32]:
        return np.random.default_rng(1).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)

    def test_a_transcript_streams_segment_by_segment(self, tiny: Tiny) -> None:
        begun = tiny.ours.transcribe(self.sound(3.3), language="german", **PLAIN)
        assert (begun.heard, begun.segments, begun.language) == (0.0, [], "de")
        heard = [begun.heard for _ in begun]
        assert heard == sorted(heard) and begun.heard == begun.seconds == 3.3
        whole = begun.finish()
        assert whole.segments == tuple(begun.segments)
        assert all(0 <= segment.start <= segment.end <= 3.3 for segment in whole.segments)
        assert whole.text == "".join(segment.text for segment in whole.segments).strip()
        again = tiny.ours.transcribe(self.sound(3.3), language="de", **PLAIN).finish()
        assert again == whole

    def test_words_lie_within_the_sound(self, tiny: Tiny) -> None:
        whole = tiny.ours.transcribe(self.sound(2.2), timestamps="word", **PLAIN).finish()
        assert whole.words and whole.language == next(
            iter(tiny.ours.detect_language(self.sound(2.2)))
        )
        assert all(0 <= word.start <= word.end <= 2.2 for word in whole.words)
        for segment in whole.segments:
            joined = "".join(word.text for word in segment.words)
            assert joined.replace("\ufffd", "") == segment.text.replace("\ufffd", "")

    def test_short_sound_without_times_is_one_segment(self, tiny: Tiny) -> None:
        found = tiny.ours.transcribe(self.sound(0.5), timestamps=None, max_tokens=4, **PLAIN)
        assert len(found.finish().segments) <= 1

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"language": "klingon"}, "does not know the language"),
            ({"task": "sing"}, "task must be one of"),
            ({"timestamps": "letter"}, "timestamps must be"),
            ({"temprature": 1}, "temperatures"),
            ({"temperatures": (3.0,)}, "from 0 to 2"),
            ({"silence": 0.5, "logprob": None}, "give logprob"),
            ({"max_tokens": 0}, "at least 1"),
            ({"max_tokens": "many"}, "another kind"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, asked, said, tiny: Tiny) -> None:
        with pytest.raises(RequestError, match=said):
            tiny.ours.transcribe(self.sound(0.5), **asked).finish()

    def test_a_prompt_that_leaves_no_room_is_refused(self, tiny: Tiny) -> None:
        long = tiny.ours.transcribe(self.sound(0.5), prompt="x" * 99, **PLAIN)
        assert long.finish()  # only the last of it counts
        with pytest.raises(SoundError):
            tiny.ours.transcribe(b"no sound")

    def test_it_says_what_it_can_do(self, tiny: Tiny) -> None:
        assert tiny.ours.tasks == ("transcribe", "detect_language")
        assert tiny.ours.card.inputs == ("sound",)
        assert tiny.ours.fit().total_bytes > 0


def test_what_steers_is_read_from_older_files_and_the_vocabulary(tiny: Tiny) -> None:
    config = {"decoder_start_token_id": CONTROL.start, "eos_token_id": END}
    forced = {"forced_decoder_ids": [[1, IDS["<|de|>"]], [2, IDS["<|transcribe|>"]], [3, None]]}
    control = Control.published({**config, **forced}, {}, tiny.ours.tokenizer)
    assert (control.no_times, control.previous) == (TIMES - 1, PREVIOUS)
    assert control.languages == {code: IDS[f"<|{code}|>"] for code in ("en", "de", "zh")}
    assert control.forced == (IDS["<|de|>"], IDS["<|transcribe|>"])
    alone = Control.published(config, {"is_multilingual": False}, tiny.ours.tokenizer)
    assert alone.opening(None, None, timed=True) == (CONTROL.start,)
    with pytest.raises(RequestError, match="English alone"):
        alone.language("de")
    with pytest.raises(RequestError, match="not made to translate"):
        alone.opening(None, "translate", timed=True)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"no_timestamps_token_id": 9999}, "token 9,999"),
        ({"alignment_heads": [[0, 6]]}, "head 6 of layer 0"),
        ({"alignment_heads": [[0]]}, "pairs of numbers"),
        ({"median_filter_width": 4}, "must be odd"),
        ({"lang_to_id": {"<|en|>": "1"}}, "must map to whole numbers"),
        ({"suppress_tokens": ["a"]}, "list of whole numbers"),
        ({"no_timestamps_token_id": "x"}, "whole number"),
        ({"decoder_start_token_id": "x"}, "names 'decoder_start_token_id'"),
    ],
)
def test_broken_statements_are_one_line(stated, said, tiny: Tiny, tmp_path: Path) -> None:
    for file in tiny.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **stated}))
    broken = library.open(str(tmp_path), dtype="float32", device="cpu")
    with pytest.raises(ConfigError, match=said):
        broken.transcribe(np.zeros(RATE, np.float32), language="de")


SEGMENTS = [Segment(0.0, 1.5, " Hello --> you.\n\n", ()), Segment(3723.004, 3724.0, " Bye", ())]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "Hello --> you.\nBye\n"),
        (
            "srt",
            "1\n00:00:00,000 --> 00:00:01,500\nHello -> you.\n\n"
            "2\n01:02:03,004 --> 01:02:04,000\nBye\n\n",
        ),
        (
            "vtt",
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello -> you.\n\n"
            "01:02:03.004 --> 01:02:04.000\nBye\n\n",
        ),
    ],
)
def test_forms_of_a_transcript(form: str, expected: str) -> None:
    assert FORMS[form](SEGMENTS) == expected
