"""Learning the tones of keys: sounds as standardised, a fair test, a folder others open."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from fathom import library
from fathom.cli.main import main
from fathom.inputs.sound_spectrogram import log_mel
from fathom.library.speech import SpeechModel
from fathom.tuning import tone_runs
from fathom.tuning.listening import NOTHING, write
from fathom.tuning.recipe import Recipe
from fathom.tuning.runs import RUNS
from fathom.tuning.runs import write as write_folder
from fathom.tuning.tone_runs import END, HEARING, START, TIMES, Maker, ToneRun, held_out
from fathom.tuning.tones import RATE, TONES, Line, dialled, number, seconds

SHORT = Recipe(steps=2, batch=3, warm=1)
KEYS = st.text(st.sampled_from(list(TONES)), min_size=1, max_size=12)


@given(KEYS, st.integers(0, 1000))
def test_every_key_is_its_two_tones_and_nothing_else(keys: str, seed: int) -> None:
    line = Line.drawn(default_rng(seed))
    sound = dialled(keys, line)
    assert len(sound) / RATE == pytest.approx(seconds(keys, line), abs=0.002)
    step = (line.pressed + line.between) * RATE
    for place, key in enumerate(keys):
        start = round(place * step)
        heard = sound[start : start + round(line.pressed * RATE)]
        moments = np.arange(len(heard)) / RATE
        tones = sorted({tone for pair in TONES.values() for tone in pair})
        loud = [abs(np.exp(2j * np.pi * tone * moments) @ heard) for tone in tones]
        two = sorted(np.argsort(loud)[-2:])
        assert tuple(tones[index] for index in two) == TONES[key]


def test_what_is_tested_was_never_heard() -> None:
    training, testing = Maker(1, testing=False), Maker(1, testing=True)
    assert not any(held_out(training.one(1, 3).keys) for _ in range(100))
    assert all(held_out(testing.one(1, 3).keys) for _ in range(20))


def test_a_transcript_says_when_dialling_begins_and_ends() -> None:
    made = Maker(3, testing=False).one(4, 12)
    start, begin, *keys, end, last = made.tokens
    assert (start, last) == (START, END)
    assert "".join(list(TONES)[key] for key in keys) == made.keys
    loud = np.flatnonzero(np.abs(made.samples) > 0.6 * np.abs(made.samples).max())
    assert 0.02 * (begin - TIMES) == pytest.approx(loud[0] / RATE, abs=0.02)
    assert 0.02 * (end - TIMES) == pytest.approx(loud[-1] / RATE, abs=0.02)
    assert len(made.samples) == HEARING.samples


def test_a_batch_is_filled_up_and_numbers_grow() -> None:
    maker = Maker(0, testing=False)
    sounds, tokens = maker(6, 1.0)
    assert sounds.shape == (6, HEARING.bands, HEARING.frames)
    assert ((tokens == NOTHING).sum(dim=1).min() == 0).item()
    assert max(len(maker.one(1, 2).keys) for _ in range(20)) == 2
    assert maker(30, 0.0)[1].shape[1] <= 2 + 4


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RUNS["whisper"]["tones"]
    assert isinstance(run, ToneRun)
    folder = tmp_path_factory.mktemp("listener") / "model"
    trained = ToneRun(run.recipe, tested=4).perform(SHORT, lambda report: None)
    write_folder(trained, SHORT, folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_folder_is_one_that_the_reference_opens(untrained: Path) -> None:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    sound = Maker(5, testing=True).one(3, 6).samples
    extractor = WhisperFeatureExtractor.from_pretrained(untrained)
    theirs = extractor(sound, sampling_rate=RATE, return_tensors="pt").input_features
    assert np.allclose(theirs[0].numpy(), log_mel(sound, HEARING), atol=1e-4)
    reference = WhisperForConditionalGeneration.from_pretrained(untrained).eval()
    ours = library.open(str(untrained), dtype="float32")
    tokens = torch.tensor([[START, TIMES, 1, 2]])
    with torch.inference_mode():
        expected = reference(input_features=theirs, decoder_input_ids=tokens).logits
        assert torch.allclose(ours.module(theirs, tokens), expected, atol=1e-4)


def test_what_was_trained_transcribes(untrained: Path) -> None:
    model = library.open(str(untrained), dtype="float32")
    assert isinstance(model, SpeechModel)
    keys = "".join(TONES)
    assert model.tokenizer.decode(model.tokenizer.encode(keys, add_special=False)) == keys
    sound = Maker(5, testing=True).one(3, 6).samples
    found = model.transcribe(sound).finish()
    assert re.fullmatch(f"[{re.escape(keys)} ]*", found.text)
    told = json.loads((untrained / "training.json").read_text())
    assert told["outcome"]["tested"] == 4


def test_writing_ends_where_the_end_is_written() -> None:
    class Spells:
        """Writes 7, 8 and the end for the first sound, 9 for ever for the second."""

        spec = type("Spec", (), {"context": 6})

        def hear(self, sounds: torch.Tensor) -> None:
            return None

        def hidden(self, tokens: torch.Tensor, heard: None) -> torch.Tensor:
            return tokens

        def scores(self, last: torch.Tensor) -> torch.Tensor:
            after = {START: 7, 7: 8, 8: END, END: END}
            best = [after.get(int(last[0]), END), 9]
            return torch.nn.functional.one_hot(torch.tensor(best), TIMES)

    found = write(Spells(), torch.zeros(2, 1, 1), START, END)  # type: ignore[arg-type]
    assert found == [[7, 8], [9] * 5]


def test_the_verb_trains_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ToneRun(Recipe(steps=2, batch=2, warm=1), tested=2)
    monkeypatch.setitem(RUNS["whisper"], "tones", quick)  # type: ignore[arg-type]
    out = tmp_path / "listener"
    assert main(["train", "whisper", "tones", "--out", str(out), "--steps", "1"]) == 0
    said = capsys.readouterr().out
    assert "of 2 numbers it never heard" in said
    assert json.loads((out / "training.json").read_text())["recipe"]["steps"] == 1


def test_lines_and_numbers_follow_from_chance() -> None:
    assert number(default_rng(4), 3, 9) == number(default_rng(4), 3, 9)
    assert Line.drawn(default_rng(4)) == Line.drawn(default_rng(4))
    assert HEARING.seconds == tone_runs.STEPS * 0.02
