"""The bench: what it makes a model do, and figures that add up whatever the clock says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fathom import library
from fathom.errors import RequestError
from fathom.generation import bench
from fathom.generation.bench import Rounds, check, figures, measure, opened
from fathom.generation.loads import DecoderLoad, ReadingLoad, load_for
from fathom.generation.native_load import NativeLoad
from fathom.generation.native_pair_load import NativePairLoad
from fathom.library import TextModel
from fathom.planning.predict import Prediction
from fathom.planning.records import (
    DECODE,
    FIRST,
    GROWTH,
    MEMORY,
    PREFILL,
    TEXTS,
    TOTAL,
)

SMALL = {"vocab_size": 96, "max_position_embeddings": 64}
CONFIGS = {
    "LlamaForCausalLM": {
        **SMALL,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "BertModel": {
        **SMALL,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "T5ForConditionalGeneration": {
        "vocab_size": 96,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    },
}
LOADS = {
    "LlamaForCausalLM": NativeLoad,
    "BertModel": ReadingLoad,
    "T5ForConditionalGeneration": NativePairLoad,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TextModel]:
    """One tiny random model of each topology."""
    import transformers

    found = {}
    for name, config in CONFIGS.items():
        torch.manual_seed(3)
        kind = getattr(transformers, name)
        folder = tmp_path_factory.mktemp(name)
        kind(kind.config_class(**config)).eval().save_pretrained(folder)
        found[name] = library.open(str(folder))
    return found


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest, models: dict[str, TextModel]) -> TextModel:
    return models[request.param]


def test_every_topology_has_a_load(models: dict[str, TextModel]) -> None:
    for name, kind in LOADS.items():
        assert type(load_for(models[name], 16, 1)) is kind


@pytest.mark.parametrize("batch", [1, 3])
def test_a_row_counts_what_it_did(model: TextModel, batch: int) -> None:
    steps: list[int] = []
    row = measure(model, 24, batch, 2, steps.append)
    assert steps == [1, 1, 1]  # the fill and two rounds
    assert (row.context, row.batch) == (24, batch)
    assert len(row.first.seconds) == 2
    assert (row.step is None) == (row.written == 0)
    assert row.peak >= row.before > 0
    assert row.workspace >= 0 and row.state >= 0


@torch.inference_mode()
def test_a_decoder_fills_its_context_and_writes_in_the_middle(models: dict[str, TextModel]) -> None:
    load = DecoderLoad(models["LlamaForCausalLM"], 40, 2)
    load.fill()
    assert load._state.used == 40
    load.read()
    assert load._state.used == load.prompt == 15
    for _ in range(load.written):
        load.write()
    middle = load.prompt + load.written / 2
    assert middle == 40 / 2  # for which speed is predicted


@torch.inference_mode()
def test_what_is_written_is_what_the_model_says(models: dict[str, TextModel]) -> None:
    load = DecoderLoad(models["LlamaForCausalLM"], 40, 2)
    load.read()
    scores = models["LlamaForCausalLM"].logits(load._tokens[:, : load.prompt])
    assert load._next.tolist() == scores[:, -1].argmax(-1, keepdim=True).tolist()


@torch.inference_mode()
def test_a_pair_writes_up_to_its_context(models: dict[str, TextModel]) -> None:
    load = load_for(models["T5ForConditionalGeneration"], 20, 2)
    load.fill()  # one more would not fit
    with pytest.raises(Exception, match="20"):
        load.write()


def _row(**changes: object) -> bench.Row:
    values = {
        "context": 64,
        "batch": 4,
        "prompt": 24,
        "written": 16,
        "first": Rounds((0.5, 0.4, 0.6)),
        "step": Rounds((0.02, 0.02, 0.03)),
        "before": 700,
        "state": 50,
        "workspace": 30,
        "peak": 780,
        "process_peak": 780,
        "exact": True,
        "waited": 0.0,
    }
    return bench.Row(**{**values, **changes})  # type: ignore[arg-type]


LOADED = bench.Loaded(base=300, weights=390, peak=900, exact=True)
PREDICTED = Prediction(
    "float32",
    64,
    4,
    {"weights": 390, "state": 50, "workspace": 25, "runtime": 290},
    decode_tokens_per_second=250,
    prefill_tokens_per_second=200,
)


def test_rates_are_of_the_median_round_and_of_the_whole_batch() -> None:
    found = figures(_row(), LOADED, PREDICTED, on_device=False)
    assert found[DECODE].measured == pytest.approx(4 / 0.02)
    assert found[DECODE].spread == pytest.approx(0.5)
    assert found[DECODE].predicted == 250
    assert found[PREFILL].measured == pytest.approx(4 * 24 / 0.5)
    assert found[PREFILL].spread == pytest.approx(0.4)
    assert found[FIRST].predicted == pytest.approx(4 * 24 / 200)
    assert TEXTS not in found


def test_a_model_that_only_reads_has_texts_and_no_writing() -> None:
    predicted = Prediction("float32", 64, 4, PREDICTED.terms, prefill_tokens_per_second=200)
    row = _row(step=None, written=0, prompt=64)
    found = figures(row, LOADED, predicted, on_device=False)
    assert found[TEXTS].measured == pytest.approx(4 / 0.5)
    assert found[TEXTS].predicted == pytest.approx(200 / 64)
    assert DECODE not in found


def test_the_terms_of_memory_add_up_to_the_peak() -> None:
    found = figures(_row(), LOADED, PREDICTED, on_device=False)
    terms = ("runtime", "weights", "rest", "state", "workspace")
    assert sum(found[MEMORY + term].measured for term in terms) == found[TOTAL].measured == 780
    assert found[GROWTH].measured == 480
    assert found[GROWTH].predicted == 465
    assert found[TOTAL].predicted == 755


def test_an_accelerators_memory_is_its_allocators() -> None:
    row = _row(before=395, peak=475, process_peak=1200)
    found = figures(row, LOADED, PREDICTED, on_device=True)
    assert found[GROWTH].measured == 475
    assert found[MEMORY + "allocator_peak"].measured == 475
    assert found[TOTAL].measured == 1200 and found[TOTAL].predicted is None


def test_opening_is_measured_around_the_call(models: dict[str, TextModel]) -> None:
    folder = models["LlamaForCausalLM"].card.path
    model, loaded = opened(lambda: library.open(folder), bench.use_once)
    held = sum(one.numel() * 4 for one in model.module.parameters())
    assert held <= loaded.weights < 2 * held + 100_000
    assert loaded.peak >= loaded.base > 10**7
    assert Path(folder).exists()


def test_tensors_that_share_memory_count_once() -> None:
    module = torch.nn.Module()
    module.a = torch.nn.Parameter(torch.zeros(10, 10))
    module.b = torch.nn.Parameter(module.a.data.view(100))
    module.register_buffer("c", torch.zeros(5))
    assert bench.tensor_bytes(module) == 420


@pytest.mark.parametrize(
    ("context", "batch", "rounds"), [(65, 1, 1), (7, 1, 1), (0, 1, 1), (8, 0, 1), (8, 1, 0)]
)
def test_what_measures_nothing_is_refused(models, context, batch, rounds) -> None:
    with pytest.raises(RequestError, match="name"):
        check(models["LlamaForCausalLM"].spec, context, batch, rounds)
    check(models["LlamaForCausalLM"].spec, 64, 1, 1)  # the twin that is accepted
