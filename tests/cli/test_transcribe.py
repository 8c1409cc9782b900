"""`fathom transcribe`: every form of a transcript, what is asked of the library, what is told."""

from __future__ import annotations

import json
import sys

import pytest

from fathom.cli import transcribe

FORMS = {
    ("--quiet",): "Hello there.\nBye.\n",
    ("--quiet", "--timestamps"): "[   0.00 –    1.50] Hello there.\n[   1.50 –    3.00] Bye.\n",
    ("--quiet", "--timestamps", "word"): (
        "[   0.00 –    0.50] Hello\n[   0.50 –    1.50] there.\n[   1.50 –    3.00] Bye.\n"
    ),
    ("--quiet", "--format", "srt"): (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n"
        "2\n00:00:01,500 --> 00:00:03,000\nBye.\n\n"
    ),
    ("--quiet", "--format", "vtt"): (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n"
        "00:00:01.500 --> 00:00:03.000\nBye.\n\n"
    ),
}


@pytest.mark.parametrize("options", FORMS, ids=" ".join)
def test_a_form(options, door, fake_library) -> None:
    assert door("transcribe", "echo", "talk.wav", *options) == (0, FORMS[options], "")


@pytest.mark.parametrize("options", [("--json",), ("--format", "json")])
def test_json_has_it_all(options, door, fake_library) -> None:
    code, out, _ = door("transcribe", "echo", "talk.wav", *options)
    told = json.loads(out)
    assert (code, told["text"], told["language"], told["seconds"]) == (
        0,
        "Hello there. Bye.",
        "en",
        3.0,
    )
    assert told["segments"][0]["words"][1] == {"text": " there.", "start": 0.5, "end": 1.5}


def test_what_is_asked_reaches_the_library(door, fake_library) -> None:
    options = ("--language", "german", "--translate", "--timestamps", "word", "--prompt", "Names")
    door("transcribe", "echo", "talk.wav", *options, "--conditioned")
    call = fake_library.LAST[-1].calls[-1]
    assert str(call.pop("sound")) == "talk.wav"
    assert call == {
        "language": "german",
        "task": "translate",
        "timestamps": "word",
        "prompt": "Names",
        "conditioned": True,
    }
    door("transcribe", "echo", "-", stdin=b"RIFF")
    assert fake_library.LAST[-1].calls[-1]["sound"] == b"RIFF"


def test_without_a_name_there_is_a_usual_model(door, fake_library, monkeypatch) -> None:
    monkeypatch.setattr(transcribe, "USUAL", "echo")
    assert door("transcribe", "talk.wav")[0] == 0
    assert fake_library.LAST[-1].calls[0]["open"] == "echo"


def test_the_time_is_told_beside_the_prediction(door, fake_library) -> None:
    _, _, told = door("transcribe", "echo", "talk.wav")
    assert "3.00 s of en in" in told and "predicted 400 ms" in told
    assert told.endswith("a native program writes, portable kernels\n")


def test_a_bar_follows_on_a_terminal(door, fake_library, monkeypatch) -> None:
    moved = []
    monkeypatch.setattr(transcribe, "on_terminal", lambda stream: stream is sys.stderr)
    monkeypatch.setattr(transcribe.SoundBar, "advance", lambda self, count: moved.append(count))
    assert door("transcribe", "echo", "talk.wav", "--format", "srt")[0] == 0
    assert sum(moved) == 3


def test_contradictions_are_refused(door, fake_library) -> None:
    code, _, told = door("transcribe", "echo", "talk.wav", "--json", "--format", "srt")
    assert code == 2 and "contradict" in told
