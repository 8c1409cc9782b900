"""Sound from every kind of file, good and bad; spectrograms against the reference's own."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from fathom.errors import ConfigError, NotFoundError, RequestError, SoundError
from fathom.inputs import sound as sound_module
from fathom.inputs.sound import read_sound
from fathom.inputs.sound_spectrogram import Hearing, log_mel, mel_bands

RATE = 16_000
# Format and subtype → the largest error of a sample that it may make.
KINDS = {
    ("WAV", "PCM_U8"): 1 / 64,
    ("WAV", "PCM_16"): 1e-4,
    ("WAV", "FLOAT"): 1e-7,
    ("RF64", "PCM_24"): 1e-6,
    ("W64", "PCM_16"): 1e-4,
    ("FLAC", "PCM_16"): 1e-4,
    ("OGG", "VORBIS"): 0.2,
    ("OGG", "OPUS"): 0.5,
    ("MP3", "MPEG_LAYER_III"): 0.2,
    ("AIFF", "PCM_16"): 1e-4,
    ("CAF", "PCM_16"): 1e-4,
    ("AU", "PCM_16"): 1e-4,
}
ENDS_EARLY_IN_SILENCE = {"OGG", "AU"}  # nothing in such files says how long they are to be


def speech(seconds: float = 2.0) -> np.ndarray:
    """Return something with the colours of speech: gliding tones in noise, (samples,) float32."""
    at = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(3).normal(0, 0.01, at.shape)
    tones = 0.3 * np.sin(2 * np.pi * (200 + 80 * at) * at) + 0.1 * np.sin(6000 * at)
    return (tones + noise).astype(np.float32)


def written(samples: np.ndarray, kind: tuple[str, str] = ("WAV", "FLOAT"), rate=RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind[0], subtype=kind[1])
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_kind_of_file_is_decoded(kind, tmp_path) -> None:
    content = written(speech(), kind)
    (tmp_path / "sound").write_bytes(content)
    found = read_sound(tmp_path / "sound", RATE)
    assert found.dtype == np.float32
    assert np.abs(found[: len(speech())] - speech()).max() < KINDS[kind]
    assert np.array_equal(found, read_sound(content, RATE))


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k[0] not in ENDS_EARLY_IN_SILENCE], ids="-".join
)
def test_what_is_cut_short_is_refused(kind) -> None:
    content = written(speech(), kind)
    with pytest.raises(SoundError, match="cut short"):
        read_sound(content[: len(content) * 2 // 3], RATE)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 37_123, 44_100, 96_000])
def test_other_rates_are_resampled_as_a_whole_would_be(rate) -> None:
    stereo = np.stack([speech(20), speech(20)[::-1]], axis=1)  # longer than one block
    whole = soxr.resample(stereo.mean(axis=1, dtype=np.float32), rate, RATE)
    found = read_sound(written(stereo, rate=rate), RATE)
    assert found.shape == whole.shape
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_arrays_are_brought_to_one_channel_and_one_range() -> None:
    samples = speech(0.1)
    np.testing.assert_array_equal(read_sound(samples, RATE), samples)
    both = np.stack([samples, -samples], axis=1)
    np.testing.assert_allclose(read_sound(both, RATE), 0, atol=1e-7)
    for kind in (np.int16, np.int32, np.uint8):
        half = 2 ** (np.iinfo(kind).bits - 1)
        shift = 0 if np.iinfo(kind).min else half
        whole = np.round(samples * (half - 1) + shift).astype(kind)
        np.testing.assert_allclose(read_sound(whole, RATE), samples, atol=1.5 / half)


def test_a_stream_of_unknown_length_is_read_to_its_end() -> None:
    content = bytearray(written(speech(), ("WAV", "PCM_16")))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert len(read_sound(bytes(content), RATE)) == len(speech())


def test_silence_is_a_sound() -> None:
    found = read_sound(written(np.zeros(RATE, np.float32)), RATE)
    assert not found.any() and np.isfinite(log_mel(found, Hearing())).all()


BAD = {
    "nothing": (b"", "is empty"),
    "a text": (b"this is a text, and no sound", "known kind"),
    "another container": (b"RIFF\x10\0\0\0WEBPVP8 ", "cannot be decoded"),
    "a frame and rubbish": (b"\xff\xfb" + bytes(range(256)), "MP3|decoded|no samples|cut short"),
    "no samples": (written(np.zeros(0, np.float32)), "no samples"),
    "not a number": (written(np.full(99, np.nan, np.float32)), "not finite"),
    "infinite": (written(np.full(99, np.inf, np.float32)), "not finite"),
    "a slow rate": (written(speech(), rate=10), "samples a second"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sound_is_one_line(name, tmp_path) -> None:
    content, said = BAD[name]
    (tmp_path / "sound.wav").write_bytes(content)
    for given_as in (content, tmp_path / "sound.wav"):
        with pytest.raises(SoundError, match=said) as raised:
            read_sound(given_as, RATE)
        assert "\n" not in str(raised.value)


def test_bad_arrays_are_refused() -> None:
    for array in (np.zeros((2, 2, 2)), np.zeros(0), np.array([np.nan]), np.array(["a"])):
        with pytest.raises(SoundError):
            read_sound(array, RATE)


def test_a_file_that_is_not_there(tmp_path) -> None:
    for missing in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(NotFoundError, match="check the path"):
            read_sound(missing, RATE)


def test_what_is_too_long_is_refused_where_it_becomes_so(monkeypatch) -> None:
    monkeypatch.setattr(sound_module, "LONGEST", 1)
    for long in (speech(), written(speech()), written(speech(), ("FLAC", "PCM_16"), rate=8000)):
        with pytest.raises(SoundError, match="longer than"):
            read_sound(long, RATE)
    assert len(read_sound(speech(1), RATE)) == RATE


def test_the_decoder_that_is_missing_is_named(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(RequestError, match=r"fathom-models\[sound\]"):
        read_sound(written(speech()), RATE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 255), st.sampled_from(["WAV", "FLAC", "OGG"]))
def test_a_broken_byte_never_leaks_another_error(at, value, kind) -> None:
    content = bytearray(written(speech(0.05), (kind, "VORBIS" if kind == "OGG" else "PCM_16")))
    content[at % len(content)] = value
    try:
        found = read_sound(bytes(content), RATE)
    except SoundError:
        return
    assert np.isfinite(found).all()


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [0.001, 2.0, 30.0, 100.0])
def test_spectrograms_are_the_references(bands, seconds) -> None:
    reference, hearing = WhisperFeatureExtractor(feature_size=bands), Hearing(bands=bands)
    np.testing.assert_array_equal(mel_bands(hearing), reference.mel_filters.astype(np.float32))
    samples = np.resize(speech(), int(seconds * RATE))
    short = seconds <= 30
    how = {} if short else {"truncation": False, "padding": "longest"}
    theirs = reference(samples, sampling_rate=RATE, return_tensors="np", **how).input_features[0]
    ours = log_mel(samples, hearing, least=hearing.samples if short else 0)
    np.testing.assert_array_equal(ours, theirs)


def test_the_spectrogram_of_real_speech_is_the_references() -> None:
    """Where the data lies beside the checkout."""
    places = [folder / "shared/data/sound/jfk.flac" for folder in Path(__file__).parents]
    recorded = next((path for path in places if path.is_file()), None)
    if recorded is None:
        pytest.skip("shared/data/sound is not beside this checkout")
    samples = read_sound(recorded, RATE)
    assert len(samples) == 11 * RATE
    theirs = WhisperFeatureExtractor()(samples, sampling_rate=RATE, return_tensors="np")
    ours = log_mel(samples, Hearing(), least=30 * RATE)
    np.testing.assert_allclose(ours, theirs.input_features[0], atol=1e-6)


def test_how_a_model_hears_is_read_from_its_file() -> None:
    stated = {"feature_size": 128, "n_fft": 400, "hop_length": 160, "chunk_length": 5}
    assert Hearing.published(stated, 128, 500) == Hearing(bands=128, seconds=5)
    assert Hearing.published({}, 80, 3000) == Hearing()
    assert Hearing.published({}, 16, 100) == Hearing(bands=16, seconds=1)
    for wrong in ({"feature_size": 128}, {"hop_length": 0}, {"n_fft": "400"}, {"chunk_length": 5}):
        with pytest.raises(ConfigError, match="preprocessor_config"):
            Hearing.published(wrong, 80, 3000)
