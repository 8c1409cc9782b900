"""Every sequence-to-sequence model against an independent implementation, over our own table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fathom import library
from fathom.blocks.state import Step
from fathom.dialects.gguf_readers import PAIR_TENSORS
from fathom.generation.source import PairState
from fathom.library import TextModel
from fathom.planning.costs import state_bytes
from fathom.planning.predict import predict
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.parts import parameters
from parity.case import rounded
from parity.conftest import Measured, cases_of
from parity.gguf_files import write_gguf
from parity.seq2seq_case import PairCase, PairReference, build_pair
from parity.test_decoders import relative_error


@dataclass(frozen=True)
class Opened:
    """Ours and the reference, over one checkpoint in float32, and tokens to try."""

    case: PairCase
    reference: PairReference
    ours: TextModel
    source: Tensor  # (2, length)
    target: Tensor  # (2, length - 4)

    def logits(self) -> Tensor:
        with torch.inference_mode():
            return self.ours.module(self.source, self.target)

    @property
    def spec(self) -> EncoderDecoder:
        assert isinstance(self.ours.spec, EncoderDecoder)
        return self.ours.spec


@pytest.fixture(scope="session")
def opened_pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[PairCase], Opened]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> Opened:
        case = next(case for case in cases_of("cases_seq2seq") if case.id == case_id)
        reference = build_pair(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        generator = torch.Generator().manual_seed(7)
        source = torch.randint(3, reference.read, (2, case.length), generator=generator)
        shape = (2, case.length - 4)
        target = torch.randint(3, reference.written, shape, generator=generator)
        return Opened(case, reference, ours, source, target)

    return lambda case: opened(case.id)


@pytest.fixture
def opened(seq2seq_case: PairCase, opened_pairs: Callable[[PairCase], Opened]) -> Opened:
    return opened_pairs(seq2seq_case)


def test_cases_are_told_apart() -> None:
    assert max(Counter(case.id for case in cases_of("cases_seq2seq")).values()) == 1


def test_logits_equal_the_reference(opened: Opened, measured: Measured) -> None:
    theirs = opened.reference.logits(opened.source, opened.target)
    error = measured(opened.case.id, opened.spec, relative_error(opened.logits(), theirs))
    assert error < opened.case.tolerance


def test_modules_hold_just_the_parameters_that_the_spec_states(opened: Opened) -> None:
    held = {name: tuple(p.shape) for name, p in opened.ours.module.named_parameters()}
    assert held == {p.name: p.shape for p in parameters(opened.spec)}


def test_decoding_with_state_equals_one_full_pass(opened: Opened) -> None:
    """In uneven steps, then token by token; and again after a reset."""
    length = opened.target.shape[1]
    state = PairState(
        opened.spec, batch=2, capacity=length, source=opened.case.length, dtype=torch.float32
    )
    module, cuts = opened.ours.module, [0, 5, 11, *range(12, length + 1)]
    for _ in range(2):
        state.reset()
        pieces = []
        with torch.inference_mode():
            source = module.encode(opened.source)
            for begin, end in pairwise(cuts):
                step = state.advance(end - begin)
                tokens = opened.target[:, begin:end]
                hidden = module.hidden(tokens, source, step=step, state=state)
                pieces.append(module.scores(hidden))
        assert relative_error(torch.cat(pieces, dim=1), opened.logits()) < 1e-4


def test_the_state_is_what_the_spec_states(opened: Opened) -> None:
    state = PairState(opened.spec, batch=3, capacity=16, source=16, dtype=torch.float32)
    assert state.nbytes == 3 * state_bytes(opened.spec, "float32", 16)


def test_padded_sources_equal_single_runs_and_the_reference(opened: Opened) -> None:
    short, missing = opened.source[:1, :-6], 6
    with torch.inference_mode():
        alone = opened.ours.module(short, opened.target[:1])
    for left in (True, False):
        padding = torch.ones(1, missing, dtype=torch.long)
        row = torch.cat((padding, short) if left else (short, padding), dim=1)
        real = torch.ones(2, opened.case.length, dtype=torch.bool)
        real[0, : missing if left else None] = not left
        if not left:
            real[0, -missing:] = False
        batch = torch.cat((row, opened.source[1:]))
        with torch.inference_mode():
            ours = opened.ours.module(batch, opened.target, read_step=Step.padded(real))
        assert relative_error(ours[:1], alone) < 1e-4
        assert relative_error(ours[1:], opened.logits()[1:]) < 1e-4
        if not left:
            theirs = opened.reference.logits(batch, opened.target, real)
            assert relative_error(ours, theirs) < opened.case.tolerance


def test_bfloat16_stays_within_its_own_error(opened: Opened) -> None:
    exact = opened.reference.logits(opened.source, opened.target)
    half = library.open(str(opened.reference.folder), dtype="bfloat16", device="cpu")
    with torch.inference_mode():
        scores = half.module(opened.source, opened.target).float()
    reference = rounded(opened.reference).logits(opened.source, opened.target).float()
    ours, theirs = (scores - exact).abs().mean(), (reference - exact).abs().mean()
    assert ours <= 1.3 * theirs + 1e-3 * exact.abs().max()


def test_what_we_save_the_reference_opens(opened: Opened, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    opened.ours.save(saved)
    before = load_file(opened.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    assert set(after) <= set(before)
    assert set(before) - set(after) <= set(opened.case.lost)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name
    if opened.case.own_output:
        return  # transformers 5 ties the output of such files; what runs is proven above
    model = type(opened.reference.model).from_pretrained(saved, attn_implementation="eager").eval()
    with torch.inference_mode():
        theirs = model(input_ids=opened.source, decoder_input_ids=opened.target).logits
    assert relative_error(opened.logits(), theirs) < opened.case.tolerance


def test_pairs_are_planned(opened: Opened) -> None:
    prediction = predict(opened.spec, dtype="float32", context=16)
    assert prediction.weights_bytes == sum(p.nbytes for p in opened.ours.module.parameters())


def test_gguf_gives_the_same_logits(opened: Opened, tmp_path: Path) -> None:
    if not opened.case.gguf:
        return
    config = json.loads((opened.reference.folder / "config.json").read_text())
    write_gguf(opened.ours, config, tmp_path / "model.gguf")
    ours = library.open(str(tmp_path / "model.gguf"), dtype="float32", device="cpu")
    with torch.inference_mode():
        scores = ours.module(opened.source, opened.target)
    assert relative_error(scores, opened.logits()) < 1e-5


def test_names_of_both_stacks_are_ggmls() -> None:
    import gguf as ggml

    known = {name.format(bid="{layer}") for name in ggml.TENSOR_NAMES.values()}
    spelled = {theirs for rule in PAIR_TENSORS for theirs in rule.theirs}
    unknown = {name.replace(".0.", ".{layer}.") for name in spelled} - known
    # ggml names a cross attention for decoders alone; the rules say it of both stacks.
    assert {name.replace("enc.", "dec.") for name in unknown} <= known
