"""Every model that listens and answers against an independent implementation, over our table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperFeatureExtractor

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError, RequestError, SoundError
from fathom.library.listening import ListeningModel
from fathom.spec.parts import count, parameters
from fathom.spec.speech_language import SpeechLanguage
from fathom.spec.work import Work
from parity.conftest import Measured, cases_of
from parity.listening_case import (
    AUDIO,
    IDS,
    ListeningCase,
    ListeningReference,
    build_listening,
    sounding,
)
from parity.speech_case import WINDOW
from parity.test_decoders import relative_error

RATE = 16_000
FRAMES = (WINDOW, 57)  # a window that is full, and one that is not


@dataclass(frozen=True)
class Opened:
    """Ours and the reference, over one checkpoint in float32, and what both are to hear."""

    case: ListeningCase
    reference: ListeningReference
    ours: ListeningModel
    heard: Tensor  # (2, bands, frames)
    tokens: Tensor  # (1, length)

    def logits(self) -> Tensor:
        with torch.inference_mode():
            return self.ours.module(self.tokens, self.heard, FRAMES)

    def theirs(self) -> Tensor:
        return self.reference.logits(self.tokens, self.heard, FRAMES)


@pytest.fixture(scope="session")
def opened_listening(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[ListeningCase], Opened]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> Opened:
        case = next(case for case in cases_of("cases_listening") if case.id == case_id)
        reference = build_listening(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        assert isinstance(ours, ListeningModel)
        generator = torch.Generator().manual_seed(7)
        heard = torch.randn((2, ours.spec.encoder.bands, WINDOW), generator=generator)
        places = [ours.spec.encoder.length(frames) for frames in FRAMES]
        tokens = [5, 6, *[AUDIO] * places[0], 7, 8, *[AUDIO] * places[1], 9, 10, 11]
        return Opened(case, reference, ours, heard, torch.tensor([tokens]))

    return lambda case: opened(case.id)


@pytest.fixture
def opened(
    listening_case: ListeningCase, opened_listening: Callable[[ListeningCase], Opened]
) -> Opened:
    return opened_listening(listening_case)


def test_cases_are_told_apart() -> None:
    assert max(Counter(case.id for case in cases_of("cases_listening")).values()) == 1


def test_scores_equal_the_reference(opened: Opened, measured: Measured) -> None:
    error = relative_error(opened.logits(), opened.theirs())
    assert measured(opened.case.id, opened.ours.spec, error) < opened.case.tolerance


def test_modules_hold_just_the_parameters_that_the_spec_states(opened: Opened) -> None:
    plain = opened.ours.plain_module()
    held = {name: tuple(p.shape) for name, p in plain.named_parameters()}
    assert held == {p.name: p.shape for p in parameters(opened.ours.spec)}
    assert count(opened.ours.spec) == sum(p.numel() for p in opened.reference.model.parameters())


def test_what_we_save_the_reference_opens(opened: Opened, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    opened.ours.save(saved)
    before = load_file(opened.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    model = type(opened.reference.model).from_pretrained(saved, attn_implementation="eager").eval()
    again = ListeningReference(saved, model).logits(opened.tokens, opened.heard, FRAMES)
    assert relative_error(opened.logits(), again) < opened.case.tolerance


def test_stages_count_what_pytorch_counts(opened: Opened) -> None:
    spec, module = opened.ours.spec, opened.ours.plain_module()
    length = opened.tokens.shape[1]
    work = Work(seconds=1.0, frames=2, tokens=length - 2 * spec.places(1.0), written=4)
    hearing, reading, writing = spec.stages(work)
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the processor's fused one
    with torch.inference_mode(), plain, FlopCounterMode(display=False) as counter:
        module.hear(opened.heard, (WINDOW, WINDOW))
    assert hearing.operations == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert hearing.kept == 2 * spec.places(1.0) * spec.decoder.width
    assert (reading.passes, writing.passes) == (1, 4)


@pytest.mark.filterwarnings("ignore")
def test_answers_are_the_references(opened: Opened) -> None:
    """From sound itself to the tokens of the answer, two sounds in one message."""
    model = opened.ours
    generator = np.random.default_rng(3)
    sounds = [generator.normal(0, 0.1, length).astype(np.float32) for length in (RATE, 9_000)]
    parts = [{"type": "audio", "audio": sound} for sound in sounds]
    parts.append({"type": "text", "text": "What is it? <|AUDIO|>"})  # what a user types is text
    answer = model.chat([{"role": "user", "content": parts}], max_tokens=12, temperature=0.0)
    list(answer)

    extractor = WhisperFeatureExtractor(model.spec.encoder.bands, chunk_length=1)
    features = extractor(
        sounds, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True
    )
    frames = features["attention_mask"].sum(-1).tolist()
    assert frames == [WINDOW, 57]
    places = [AUDIO] * model.spec.encoder.length(WINDOW), [AUDIO] * model.spec.encoder.length(57)
    opening, closing = IDS["<|audio_bos|>"], IDS["<|audio_eos|>"]
    said = list(b"user\n"), [opening, *places[0], closing], [10, opening, *places[1], closing]
    asked = [10, *b"What is it? <|AUDIO|>", IDS["<|im_end|>"], 10]
    prompt = [IDS["<|im_start|>"], *said[0], *said[1], *said[2], *asked]
    prompt += [IDS["<|im_start|>"], *b"assistant\n"]
    assert answer.usage.prompt_tokens == len(prompt)
    with torch.inference_mode():
        theirs = opened.reference.model.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            input_features=features["input_features"],
            feature_attention_mask=sounding(frames),
            max_new_tokens=12,
            do_sample=False,
        )
    assert list(answer.tokens) == theirs[0, len(prompt) :].tolist()


class TestChat:
    """What is refused, each beside what is accepted."""

    @pytest.fixture
    def model(self, opened_listening: Callable[[ListeningCase], Opened]) -> ListeningModel:
        return opened_listening(cases_of("cases_listening")[0]).ours

    def test_text_alone_is_a_message(self, model: ListeningModel) -> None:
        assert model.tasks == ("chat",)
        answer = model.chat([{"role": "user", "content": "Hello"}], max_tokens=2)
        assert list(answer) is not None and answer.usage.completion_tokens

    @pytest.mark.parametrize("part", [{"type": "audio"}, {"type": "audio", "audio": 7}])
    def test_a_sound_that_is_not_there(self, part, model: ListeningModel) -> None:
        with pytest.raises(RequestError, match="needs its sound"):
            model.chat([{"role": "user", "content": [part]}])

    def test_a_sound_beyond_the_window(self, model: ListeningModel) -> None:
        def ask(seconds: float) -> None:
            sound = np.zeros(int(seconds * RATE), np.float32)
            content = [{"type": "audio", "audio": sound}]
            list(model.chat([{"role": "user", "content": content}], max_tokens=1))

        ask(1.0)
        with pytest.raises(SoundError, match="cut it into several"):
            ask(1.1)


# As published, its sizes left to the defaults of the reference; the card says 8.4 B.
PUBLISHED = {
    "architectures": ["Qwen2AudioForConditionalGeneration"],
    "audio_config": {
        "activation_function": "gelu",
        "d_model": 1280,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "encoder_layers": 32,
        "max_source_positions": 1500,
        "model_type": "qwen2_audio_encoder",
        "num_mel_bins": 128,
        "scale_embedding": False,
    },
    "audio_token_index": 151646,
    "model_type": "qwen2_audio",
    "text_config": {
        "intermediate_size": 11008,
        "max_position_embeddings": 8192,
        "model_type": "qwen2",
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000,
        "sliding_window": 32768,
        "use_sliding_window": False,
        "vocab_size": 156032,
    },
}


def test_what_is_published_is_recognised() -> None:
    spec = published_spec(PUBLISHED)
    assert isinstance(spec, SpeechLanguage)
    assert count(spec) == pytest.approx(8.4e9, rel=0.005)
    assert (spec.places(30.0), spec.places(1.0), spec.about.model_class) == (750, 25, "ALM")


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"audio_token_index": 999_999}, "audio_token_index"), ({"text_config": 3}, "text_config")],
)
def test_what_cannot_be_is_refused(changed: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        published_spec({**PUBLISHED, **changed})
