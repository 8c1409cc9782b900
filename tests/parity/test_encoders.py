"""Every encoder against an independent implementation, over our own table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fathom import library
from fathom.blocks.state import Step
from fathom.checkpoint.description import describe
from fathom.checkpoint.sentence_transformers import stated_vector
from fathom.dialects.distilbert import NAMES
from fathom.generation.native_vectors import NativeVectors
from fathom.generation.reading import Reading
from fathom.library import TextModel
from fathom.ops.program import Program
from fathom.planning.predict import predict
from fathom.programs.lowering_decoder import lower, why_not
from fathom.residency.packed import PackedWeights
from fathom.spec.encoder import Encoder
from fathom.spec.heads import SummaryHead
from fathom.spec.parts import parameters
from fathom.spec.vector import TextVector
from parity.case import rounded
from parity.conftest import Measured, cases_of
from parity.encoder_case import EncoderCase, EncoderReference, build_encoder, outputs
from parity.gguf_files import write_gguf
from parity.test_decoders import relative_error


@dataclass(frozen=True)
class EncoderPair:
    """Ours and the reference, over one checkpoint in float32, and tokens to try."""

    case: EncoderCase
    reference: EncoderReference
    ours: TextModel
    tokens: Tensor  # (2, length), none of them padding


@pytest.fixture(scope="session")
def encoder_pairs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[EncoderCase], EncoderPair]:
    """Return what opens a case, once per session."""

    @cache
    def opened(case_id: str) -> EncoderPair:
        case = next(case for case in cases_of("cases_encoders") if case.id == case_id)
        reference = build_encoder(case, tmp_path_factory.mktemp(case.id))
        ours = library.open(str(reference.folder), dtype="float32", device="cpu")
        generator = torch.Generator().manual_seed(7)
        shape = (2, case.length)
        tokens = torch.randint(0, reference.vocabulary, shape, generator=generator)
        # RoBERTa takes a padding token in the middle of a text for no token at all.
        tokens[tokens == reference.padding] = reference.vocabulary - 1
        return EncoderPair(case, reference, ours, tokens)

    return lambda case: opened(case.id)


@pytest.fixture
def encoder_pair(
    encoder_case: EncoderCase, encoder_pairs: Callable[[EncoderCase], EncoderPair]
) -> EncoderPair:
    return encoder_pairs(encoder_case)


def test_cases_are_told_apart() -> None:
    assert max(Counter(case.id for case in cases_of("cases_encoders")).values()) == 1


def test_the_head_says_what_the_reference_says(
    encoder_pair: EncoderPair, measured: Measured
) -> None:
    pair = encoder_pair
    ours, theirs = pair.ours.logits(pair.tokens), pair.reference.outputs(pair.tokens)
    error = measured(pair.case.id, pair.ours.spec, relative_error(ours, theirs))
    assert error < pair.case.tolerance


def test_hidden_states_equal_the_reference(encoder_pair: EncoderPair) -> None:
    pair = encoder_pair
    with torch.inference_mode():
        ours = pair.ours.module.hidden(pair.tokens)
    assert relative_error(ours, pair.reference.hidden(pair.tokens)) < pair.case.tolerance


def test_token_types_are_added(encoder_pair: EncoderPair) -> None:
    pair = encoder_pair
    assert isinstance(pair.ours.spec, Encoder)
    table = pair.ours.spec.embedding.token_types
    if table is None:
        return
    types = torch.arange(pair.case.length).expand(2, -1) % table.rows
    with torch.inference_mode():
        ours = pair.ours.module(pair.tokens, types=types)
    assert relative_error(ours, pair.reference.outputs(pair.tokens, types)) < pair.case.tolerance


def test_modules_hold_just_the_parameters_that_the_spec_states(encoder_pair: EncoderPair) -> None:
    ours = encoder_pair.ours
    held = {name: tuple(p.shape) for name, p in ours.module.named_parameters()}
    assert held == {p.name: p.shape for p in parameters(ours.spec)}


def test_padded_batches_equal_single_runs(encoder_pair: EncoderPair) -> None:
    pair = encoder_pair
    short, missing = pair.tokens[:1, :-6], 6
    with torch.inference_mode():
        alone = pair.ours.module(short)
        whole = pair.ours.module(pair.tokens[1:])
        for left in (True, False):
            padding = torch.full((1, missing), pair.reference.padding)
            row = torch.cat((padding, short) if left else (short, padding), dim=1)
            real = torch.ones(2, pair.case.length, dtype=torch.bool)
            real[0, :missing] = not left
            if not left:
                real[0, -missing:] = False
            batch = torch.cat((row, pair.tokens[1:]))
            both = pair.ours.module(batch, step=Step.padded(real))
            per_token = both.ndim == 3
            first = both[0][real[0]][None] if per_token else both[:1]
            assert relative_error(first, alone) < 1e-4
            assert relative_error(both[1:], whole) < 1e-4


def test_the_reference_pads_on_the_right_alike(encoder_pair: EncoderPair) -> None:
    pair = encoder_pair
    real = torch.ones(2, pair.case.length, dtype=torch.bool)
    real[0, -5:] = False
    tokens = pair.tokens.where(real, pair.reference.padding)
    with torch.inference_mode():
        ours = pair.ours.module.hidden(tokens, step=Step.padded(real))
    theirs = pair.reference.hidden(tokens, real)
    assert relative_error(ours[real], theirs[real]) < pair.case.tolerance


def test_bfloat16_stays_within_its_own_error(encoder_pair: EncoderPair) -> None:
    """Of the hidden states: a handful of scores is too few for a mean error."""
    pair = encoder_pair
    exact = pair.reference.hidden(pair.tokens)
    half = library.open(str(pair.reference.folder), dtype="bfloat16", device="cpu")
    with torch.inference_mode():
        ours = (half.module.hidden(pair.tokens).float() - exact).abs().mean()
    assert half.logits(pair.tokens).isfinite().all()
    theirs = (rounded(pair.reference).hidden(pair.tokens).float() - exact).abs().mean()
    assert ours <= 1.3 * theirs + 1e-3 * exact.abs().max()


def test_what_we_save_the_reference_opens(encoder_pair: EncoderPair, tmp_path: Path) -> None:
    pair, saved = encoder_pair, tmp_path / "saved"
    pair.ours.save(saved)
    before = load_file(pair.reference.folder / "model.safetensors")
    after = load_file(saved / "model.safetensors")
    assert set(after) <= set(before)
    assert set(before) - set(after) <= set(pair.case.lost)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]), name
    choice = {} if pair.case.pooler is None else {"add_pooling_layer": pair.case.pooler}
    model_class = type(pair.reference.model)
    model = model_class.from_pretrained(saved, attn_implementation="eager", **choice).eval()
    ours = pair.ours.logits(pair.tokens)
    assert relative_error(ours, outputs(model, pair.tokens, None)) < pair.case.tolerance


def test_an_encoder_is_planned_without_state(encoder_pair: EncoderPair) -> None:
    ours = encoder_pair.ours
    prediction = predict(ours.spec, dtype="float32", context=16)
    assert prediction.state_bytes == 0
    assert prediction.weights_bytes == sum(p.nbytes for p in ours.module.parameters())


def test_gguf_gives_the_same_hidden_states(encoder_pair: EncoderPair, tmp_path: Path) -> None:
    pair = encoder_pair
    if not pair.case.gguf:
        return
    config = json.loads((pair.reference.folder / "config.json").read_text())
    write_gguf(pair.ours, usual(config), tmp_path / "model.gguf", {"pooling_type": 2})
    ours = library.open(str(tmp_path / "model.gguf"), dtype="float32", device="cpu")
    assert relative_error(ours.logits(pair.tokens), pair.ours.logits(pair.tokens)) < 1e-5
    assert stated_vector(ours._description).vector.pooling == ("first",)


def usual(config: dict[str, object]) -> dict[str, object]:
    """Return a configuration with DistilBERT's keys under their usual names too."""
    names = {theirs: usual for usual, theirs in NAMES.items()}
    return config | {names[key]: value for key, value in config.items() if key in names}


def test_a_program_reads_as_the_modules_do(encoder_pair: EncoderPair) -> None:
    """Texts of several lengths side by side, against each of them alone in modules."""
    trunk = replace(encoder_pair.ours.spec, head=None)
    expressed = isinstance(encoder_pair.ours.spec.head, SummaryHead | None)
    assert (why_not(encoder_pair.ours.spec) is None) == expressed
    description = describe(encoder_pair.reference.folder)
    assert description.contents is not None
    weights = PackedWeights(trunk, description.contents, description.assignments(), threads=2)
    with weights:
        plan = lower(trunk, "float32")
        program = Program(plan, weights, most_tokens=2 * encoder_pair.case.length, threads=2)
    reader = NativeVectors(trunk, program, TextVector(("mean",)))
    ids = encoder_pair.tokens.tolist()
    texts = [ids[0], ids[1][:1], ids[1][:-9]]
    readings = [Reading(tuple(one), (0,) * len(one), (), (), ()) for one in texts]
    found = reader.hidden(readings)
    ends = np.cumsum([len(one) for one in texts])[:-1]
    for own, text in zip(np.split(found, ends), texts, strict=True):
        with torch.inference_mode():
            alone = encoder_pair.ours.module.hidden(torch.tensor([text]))[0]
        assert relative_error(torch.from_numpy(own), alone) < 1e-5
