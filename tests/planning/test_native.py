"""Predictions of native programs against the programs themselves. No speed is asserted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.planning.test_probe import RATES

from fathom.checkpoint.description import Description, describe
from fathom.generation.native_probing import ENCODINGS
from fathom.generation.pages import PagedState
from fathom.ops.native import native as kernels
from fathom.planning import probe
from fathom.planning.fit import fit
from fathom.planning.native import predict_native
from fathom.planning.native_program import Native
from fathom.planning.opened import native
from fathom.planning.packing import LAYOUTS, packed_bytes
from fathom.planning.probe import LIKE, NativeRates, Rates
from fathom.planning.speed import SCORES
from fathom.programs.steps import Attend, Narrow
from fathom.spec.decoder import Decoder

CONFIG = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "bfloat16",
}
MEASURED = NativeRates(
    kernels="portable",
    read=dict.fromkeys(ENCODINGS, ((512, 20e9), (2048, 30e9))),
    products=dict.fromkeys(ENCODINGS, ((8, 200e9), (512, 400e9))),
    attention=80e9,
    paired_attention=110e9,
    attention_step=30e9,
    moved=5e9,
    step_seconds=1e-6,
    idle_bytes=40_000_000,
)
KNOWN = replace(RATES, native=MEASURED)
compiled = pytest.mark.skipif(isinstance(kernels(), str), reason=str(kernels()))


@pytest.fixture
def description(tmp_path: Path) -> Description:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return describe(tmp_path)


def program(
    description: Description, rates: Rates | None = KNOWN, quant: str | None = None
) -> Native:
    assert isinstance(description.spec, Decoder)
    return native(description, description.spec, "bfloat16", rates, quant)


def test_every_encoding_has_a_rate() -> None:
    assert set(LAYOUTS) == {*ENCODINGS, *LIKE}
    assert set(LIKE.values()) <= set(ENCODINGS)


def test_weights_of_a_configuration_are_counted_as_named(description: Description) -> None:
    layer = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 256 * 512
    norms = 4 * 256 * (2 * 3 + 1)
    numbers = 3 * layer + 2 * 1000 * 256
    padded = 2 * 2 * 8 * 256  # two tables of 1,000 rows fill their last panel of 16
    assert program(description).weight_bytes == 2 * numbers + padded + norms
    quarter = program(description, quant="Q8_0").weight_bytes
    assert quarter == 3 * layer * 34 // 32 + 2 * packed_bytes("Q8_0", 1000, 256) + norms


def test_reading_stops_in_the_last_layer_where_keys_and_values_are_written(
    description: Description,
) -> None:
    """What a token has no scores for is not computed, and not predicted."""
    found = program(description)
    whole = tuple(
        replace(step, narrowed=False) if isinstance(step, Attend) else step
        for step in found.plan.steps
        if not isinstance(step, Narrow)
    )
    everything = replace(found, plan=replace(found.plan, steps=whole))
    tokens = 512
    saved = sum(
        MEASURED.product_seconds(encoding, inputs, outputs, size, tokens)
        for matrix, (encoding, outputs, inputs) in found.matrices.items()
        if matrix.name.startswith(("layers.2.feed_forward.", "layers.2.mixer.output."))
        and (size := packed_bytes(encoding, outputs, inputs))
    )
    difference = everything.product_seconds(MEASURED, tokens, 0) - found.product_seconds(
        MEASURED, tokens, 0
    )
    assert difference == pytest.approx(saved) and saved > 0
    assert found.product_seconds(MEASURED, 1, 1) == everything.product_seconds(MEASURED, 1, 1)
    attended = found.score_operations(100, scored=False)
    assert 3 * attended == 2 * found.score_operations(100) == 2 * everything.score_operations(100)


@given(context=st.integers(1, 4096), batch=st.integers(1, 4))
def test_state_is_that_of_the_pages(context: int, batch: int) -> None:
    spec = describe_once()
    found = predict_native(spec, context, batch)
    state = PagedState(spec.plan, [], capacity=context, most_tokens=spec.most_tokens)
    assert found.state_bytes == batch * state.nbytes
    assert found.total_bytes == sum(found.terms.values())


def describe_once() -> Native:
    from fathom.dialects.config import Config
    from fathom.dialects.dialect import find
    from fathom.programs.lowering_decoder import lower

    spec = find("llama").read(Config(CONFIG))
    assert isinstance(spec, Decoder)
    return Native(spec, lower(spec), lambda one: "Q4_0", KNOWN)


def test_a_shorter_text_takes_less(description: Description) -> None:
    found = predict_native(program(description), 4096).forecast(100)
    whole = found.memory_after(4096, 4096)
    assert whole == found.memory_bytes
    lengths = [found.memory_after(min(length, 100), length) for length in (1, 100, 200, 4096)]
    assert all(length is not None for length in lengths)
    assert lengths == sorted(lengths, key=lambda each: each or 0)
    assert (lengths[0] or 0) < (whole or 0)


def test_without_rates_there_is_memory_and_no_speed(description: Description) -> None:
    for rates in (None, RATES):
        found = predict_native(program(description, rates), 512)
        assert found.total_bytes > 0
        assert found.decode_tokens_per_second is found.prefill_tokens_per_second is None
    told = predict_native(program(description), 512)
    assert told.decode_tokens_per_second
    assert told.prefill_tokens_per_second
    assert {*told.terms, "writing"} == set(program(description).reasons(told))


def test_more_bytes_and_longer_contexts_take_longer(description: Description) -> None:
    speeds = [
        predict_native(program(description, quant=quant), context).decode_tokens_per_second or 0
        for quant, context in (("Q4_0", 64), ("Q8_0", 64), ("Q8_0", 4096))
    ]
    assert speeds == sorted(speeds, reverse=True)
    assert len(set(speeds)) == 3


@compiled
def test_a_fit_predicts_the_way_that_opening_takes(
    description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.planning.fit.this_machine", _no_accelerator)
    assert fit(description).runs_as.startswith("native program")
    assert "rows" in fit(description).prediction.terms
    for wanted in ({"dtype": "float32"}, {"train": "full"}, {"on": "rtx4090"}):
        found = fit(description, **wanted)  # type: ignore[arg-type]  # each one option
        assert found.runs_as.startswith("PyTorch modules, because")
        assert "workspace" in found.prediction.terms
    monkeypatch.setenv("FATHOM_VARIANT", "reference")
    assert "FATHOM_VARIANT" in fit(description).runs_as


def _no_accelerator() -> object:
    from fathom.planning.machine import this_machine

    return replace(this_machine(), accelerators=())


def test_rates_of_native_kernels_are_kept_exactly() -> None:
    kept = json.loads(json.dumps(asdict(KNOWN)))
    assert probe._rates_from(kept) == KNOWN


@pytest.mark.parametrize(
    "spoilt",
    [
        {"attention": 0},
        {"read": {}},
        {"read": {**dict.fromkeys(ENCODINGS, ((512, 0),))}},
        {"products": dict.fromkeys(ENCODINGS, ())},
        {"colour": 1},
    ],
    ids=str,
)
def test_what_is_no_rate_is_refused(spoilt: dict[str, object]) -> None:
    kept = json.loads(json.dumps(asdict(KNOWN)))
    kept["native"] |= spoilt
    with pytest.raises((ValueError, TypeError)):
        probe._rates_from(kept)


def test_prompts_meet_keys_as_exactly_as_their_products_are(description: Description) -> None:
    exact, paired = program(description), program(description, quant="Q8_0")
    assert (exact.paired, paired.paired) == (False, True)
    for each, rate in ((exact, MEASURED.attention), (paired, MEASURED.paired_attention)):
        seconds = each.token_seconds(4096, 1)
        assert seconds is not None
        operations = each.score_operations(1024, scored=False)
        assert seconds[SCORES] == pytest.approx(operations / rate)
        told = each.reasons(predict_native(each, 4096))["state"]
        assert ("bfloat16" in told) is each.paired


def test_the_first_token_takes_a_huge_page_of_every_layer(
    description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a state as large as NumPy asks such pages for, and never more than there is of it."""
    monkeypatch.setattr("fathom.planning.native_program.huge_page_bytes", lambda: 2 << 20)
    spec = description.spec
    assert isinstance(spec, Decoder)
    program = native(description, spec, "bfloat16", None)
    assert isinstance(program, Native)
    for context, begun in ((64, None), (4096, 3 * (2 << 20))):
        growth = program.growth(context, 1)
        state = growth.capacity * growth.token_bytes
        rows = growth.row_bytes
        least = growth.token_bytes if begun is None else min(begun, state)
        assert replace(growth, least=0).reached(1, 1) == least + rows
        assert growth.unreached(context, context) == 0
