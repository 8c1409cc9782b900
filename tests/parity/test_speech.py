"""Every model of speech against an independent implementation, over our own table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError
from fathom.generation.source import PairState
from fathom.library.speech import SpeechModel
from fathom.ops.choose import only
from fathom.spec.parts import count, parameters
from fathom.spec.speech import OPENING, Speech
from fathom.spec.work import Work
from parity.conftest import Measured, cases_of
from parity.speech_case import WINDOW, SpeechCase, SpeechReference, build_speech
from parity.test_decoders import relative_error
from planning.profiled import allocated_peak, random_module


@dataclass(frozen=True)
class Opened:
    """Ours and the reference, over one checkpoint in float32, and what both are to hear."""

    case: SpeechCase
    reference: SpeechReference
    ours: SpeechModel
    heard: Tensor  # (2, bands, frames)
    written: Tensor  # (2, length)

    @property
    def spec(self) -> Speech:
        return self.ours.spec

    def theirs(self) -> Tensor:
        return self.reference.logits(self.heard, self.written)

    def logits(self) -> Tensor:
        with torch.inference_mode():
            return self.ours.module(self.heard, self.written)


@pytest.fixture(scope="session")
def opened_speech(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SpeechCase], Opened]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> Opened:
        case = next(case for case in cases_of("cases_speech") if case.id == case_id)
        reference = build_speech(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        assert isinstance(ours, SpeechModel)
        generator = torch.Generator().manual_seed(7)
        heard = torch.randn((2, ours.spec.encoder.bands, WINDOW), generator=generator)
        written = torch.randint(0, ours.spec.vocabulary, (2, 24), generator=generator)
        return Opened(case, reference, ours, heard, written)

    return lambda case: opened(case.id)


@pytest.fixture
def opened(speech_case: SpeechCase, opened_speech: Callable[[SpeechCase], Opened]) -> Opened:
    return opened_speech(speech_case)


def test_cases_are_told_apart() -> None:
    assert max(Counter(case.id for case in cases_of("cases_speech")).values()) == 1


def test_scores_equal_the_reference(opened: Opened, measured: Measured) -> None:
    error = measured(opened.case.id, opened.spec, relative_error(opened.logits(), opened.theirs()))
    assert error < opened.case.tolerance


def test_modules_hold_just_the_parameters_that_the_spec_states(opened: Opened) -> None:
    plain = opened.ours.plain_module()
    held = {name: tuple(p.shape) for name, p in plain.named_parameters()}
    assert held == {p.name: p.shape for p in parameters(opened.spec)}
    assert count(opened.spec) == sum(p.numel() for p in opened.reference.model.parameters())


def test_writing_with_state_equals_one_full_pass(opened: Opened) -> None:
    """In uneven steps; and again after going back, from the keys of what was heard."""
    module, length = opened.ours.module, opened.written.shape[1]
    state = PairState(
        opened.spec, batch=2, capacity=length, source=WINDOW // 2, dtype=torch.float32
    )
    with torch.inference_mode():
        source = module.hear(opened.heard)
        for _ in range(2):
            state.rewind()
            hidden = [
                module.hidden(piece, source, step=state.advance(piece.shape[1]), state=state)
                for piece in opened.written.split([4, 1, 12, 7], dim=1)
            ]
            found = module.scores(torch.cat(hidden, dim=1))
            assert relative_error(found, opened.logits()) < 1e-4


def test_where_heads_look_is_what_the_reference_says(opened: Opened) -> None:
    if opened.case.architecture == "WhisperModel":
        return  # the same decoder, under another name
    heads = [(layer, head) for layer in range(len(opened.spec.layers)) for head in (0, 5)]
    state = PairState(opened.spec, batch=1, capacity=4, source=WINDOW // 2, dtype=torch.float32)
    row = opened.written[:1]
    with torch.inference_mode():
        theirs = opened.reference.model(
            input_features=opened.heard[:1], decoder_input_ids=row, output_attentions=True
        ).cross_attentions
        source = opened.ours.module.hear(opened.heard[:1])
        opened.ours.module.hidden(row[:, :4], source, step=state.advance(4), state=state)
        ours = opened.ours.module.alignment(row, source, heads, state)
    expected = torch.stack([theirs[layer][0, head] for layer, head in heads])
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_bfloat16_stays_within_its_own_error(opened: Opened) -> None:
    exact = opened.theirs()
    half = library.open(str(opened.reference.folder), dtype="bfloat16", device="cpu")
    with torch.inference_mode():
        ours = half.module(opened.heard, opened.written).float()
    model = deepcopy(opened.reference.model).to(torch.bfloat16)
    reference = SpeechReference(opened.reference.folder, model)
    theirs = reference.logits(opened.heard.bfloat16(), opened.written).float()
    allowed = 1.3 * (theirs - exact).abs().mean() + 1e-3 * exact.abs().max()
    assert (ours - exact).abs().mean() <= allowed


def test_what_we_save_the_reference_opens(opened: Opened, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    opened.ours.save(saved)
    before = load_file(opened.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    model = type(opened.reference.model).from_pretrained(saved, attn_implementation="eager").eval()
    again = SpeechReference(saved, model).logits(opened.heard, opened.written)
    assert relative_error(opened.logits(), again) < opened.case.tolerance


def test_stages_count_what_pytorch_counts(opened: Opened) -> None:
    """Hearing, beginning and one token more, each on the module itself."""
    written = 13
    hearing, opening, decoding = opened.spec.stages(Work(written=written))
    assert (opening.passes, decoding.passes) == (1, written - 1)
    module, spec = opened.ours.plain_module(), opened.spec
    state = PairState(spec, batch=1, capacity=spec.context, source=WINDOW // 2, dtype=torch.float32)
    tokens = opened.written[:1]

    def counted(work: Callable[[], object]) -> int:
        plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not know the processor's fused one
        counting = FlopCounterMode(display=False)
        with torch.inference_mode(), plain, only("fused"), counting as counter:
            work()
        return counter.get_total_flops()

    def write(length: int) -> None:
        step = state.advance(length)
        hidden = module.hidden(tokens[:, :length], source, step=step, state=state)
        module.scores(hidden[:, -1])

    assert hearing.operations == pytest.approx(
        counted(lambda: module.hear(opened.heard[:1])), rel=0.02
    )
    source = module.hear(opened.heard[:1])
    assert opening.operations == pytest.approx(counted(lambda: write(OPENING)), rel=0.02)
    state.advance(written // 2)
    assert decoding.operations == pytest.approx(counted(lambda: write(1)), rel=0.02)
    assert opening.kept * 4 == state.nbytes


def test_stages_hold_what_a_run_holds() -> None:
    """At half the size of the smallest that is published, its window whole."""
    spec = published_spec({**TINY, "encoder_layers": 1, "decoder_layers": 2})
    assert isinstance(spec, Speech)
    hearing, opening, _ = spec.stages(Work())
    module = random_module(spec, torch.float32)
    spectrogram = torch.randn(1, spec.encoder.bands, spec.encoder.frames)
    state = PairState(spec, batch=1, capacity=8, source=1500, dtype=torch.float32)
    row = torch.zeros(1, OPENING, dtype=torch.long)
    with torch.inference_mode():
        heard = allocated_peak(lambda: module.hear(spectrogram)) + spectrogram.nbytes
        source = module.hear(spectrogram)
        begun = allocated_peak(
            lambda: module.hidden(row, source, step=state.advance(OPENING), state=state)
        )
    assert hearing.live * 4 == pytest.approx(heard, rel=0.1)
    assert opening.live * 4 == pytest.approx(begun, rel=0.1)
    assert hearing.kept == source.hidden.numel()


# As published: keys of the files on the hub, and the parameters that their cards state.
TINY = {
    "architectures": ["WhisperForConditionalGeneration"],
    "activation_function": "gelu",
    "d_model": 384,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
    "decoder_layers": 4,
    "decoder_start_token_id": 50258,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "encoder_layers": 4,
    "eos_token_id": 50257,
    "is_encoder_decoder": True,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "model_type": "whisper",
    "num_mel_bins": 80,
    "scale_embedding": False,
    "vocab_size": 51865,
}


def _sized(width: int, heads: int, layers: int, written: int | None = None, **own: int) -> dict:
    sizes = {"d_model": width}
    for side, count_ in (("encoder", layers), ("decoder", written or layers)):
        sizes |= {
            f"{side}_layers": count_,
            f"{side}_attention_heads": heads,
            f"{side}_ffn_dim": 4 * width,
        }
    return {**TINY, **sizes, **own}


V3 = {"num_mel_bins": 128, "vocab_size": 51866}
PUBLISHED = {
    "whisper-tiny": (TINY, 37.8e6),
    "whisper-tiny.en": ({**TINY, "vocab_size": 51864}, 37.8e6),
    "whisper-base": (_sized(512, 8, 6), 72.6e6),
    "whisper-small": (_sized(768, 12, 12), 242e6),
    "whisper-medium": (_sized(1024, 16, 24), 764e6),
    "whisper-large-v2": (_sized(1280, 20, 32), 1.54e9),
    "whisper-large-v3": (_sized(1280, 20, 32, **V3), 1.54e9),
    "whisper-large-v3-turbo": (_sized(1280, 20, 32, written=4, **V3), 809e6),
    "distil-large-v3": (_sized(1280, 20, 32, written=2, **V3), 756e6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_recognised(name: str) -> None:
    config, stated = PUBLISHED[name]
    spec = published_spec(config)
    assert isinstance(spec, Speech)
    assert count(spec) == pytest.approx(stated, rel=0.005)
    assert (spec.encoder.seconds, spec.about.model_class) == (30.0, "ASR")
    assert spec.usual == Work(seconds=30.0, tokens=OPENING, written=120)
    hearing, opening, decoding = spec.stages(Work(seconds=95.0))
    assert (hearing.passes, opening.passes, decoding.passes) == (4, 4, 4 * 119)


BROKEN = {
    "heads that do not divide": ({"encoder_attention_heads": 7}, "7 heads"),
    "no width": ({"d_model": None}, "d_model"),
    "a head for labels": ({"architectures": ["WhisperForAudioClassification"]}, "has a head"),
    "bands of a wrong kind": ({"num_mel_bins": "80"}, "num_mel_bins"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_is_refused(fault: str) -> None:
    changed, word = BROKEN[fault]
    with pytest.raises(ConfigError, match=word):
        published_spec({**TINY, **changed})
