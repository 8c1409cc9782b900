"""`fathom bench` on a tiny model: the ladder, the table, the record, what is refused."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from fathom.cli import bench
from fathom.planning.records import DECODE, FIRST, MEMORY, PASS_SECONDS, TEXTS, TOTAL, Figure
from fathom.planning.store import records


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=40,
    )
    place = tmp_path_factory.mktemp("llama")
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    return place


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))
    monkeypatch.delenv("FATHOM_RECORD", raising=False)


def test_each_rung_is_shown_and_recorded(door, folder: Path) -> None:
    words = ["--contexts", "16,32", "--batches", "1,2", "--rounds", "2"]
    code, out, err = door("bench", str(folder), *words)
    assert code == 0, err
    for context, batch in [("16", "1"), ("16", "2"), ("32", "1"), ("32", "2")]:
        assert f"context {context}, batch {batch}: median of 2 rounds" in out
    for label in ("first token", "reading", "writing", "weights", "process peak"):
        assert out.count(label) >= 4
    kept = records(kind="bench")
    assert [(one.settings.context, one.settings.batch) for one in kept] == [
        (16, 1),
        (16, 2),
        (32, 1),
        (32, 2),
    ]
    assert all(one.figures[DECODE].measured for one in kept)


def test_json_holds_every_figure(door, folder: Path) -> None:
    code, out, err = door("bench", str(folder), "--contexts", "24", "--rounds", "1", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    (row,) = told["rows"]
    assert (row["context"], row["batch"], told["rounds"]) == (24, 1, 1)
    assert row["prompt_tokens"] + row["new_tokens"] < 24
    assert row["figures"][DECODE]["measured"] > 0
    assert row["figures"][MEMORY + "weights"]["predicted"] > 0
    assert set(told["loading"]) == {"base", "weights", "peak", "exact"}


def test_without_a_record_there_is_none(door, folder: Path, monkeypatch) -> None:
    words = ["bench", str(folder), "--contexts", "16", "--rounds", "1"]
    assert door(*words, "--no-record")[0] == 0
    monkeypatch.setenv("FATHOM_RECORD", "0")
    assert door(*words)[0] == 0
    assert records() == []


def test_an_unknown_model_is_one_line_and_nothing_is_measured(door, fake_library) -> None:
    code, out, err = door("bench", "absent")
    assert (code, out, err) == (2, "", "fathom: there is no model 'absent'. Try echo\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--contexts", "41"], "8 to 40"),
        (["--contexts", "sixteen"], "list of numbers"),
        (["--batches", "0"], "begin at 1"),
        (["--rounds", "0"], "begin at 1"),
    ],
)
def test_a_ladder_that_measures_nothing_is_refused(words, said, door, folder: Path) -> None:
    code, out, err = door("bench", str(folder), *words)
    assert (code, out) == (2, "")
    assert said in err and err.count("\n") == 1


def test_a_rung_that_does_not_fit_is_refused_before_the_work(door, folder: Path) -> None:
    code, _, err = door("bench", str(folder), "--contexts", "40", "--batches", str(10**10))
    assert code == 2
    assert "are free; name smaller ones" in err


@pytest.mark.parametrize(
    ("asked", "longest", "measured"),
    [(None, 8192, (512, 2048)), (None, 1024, (512,)), (None, 77, (77,)), ([64, 9], 77, (64, 9))],
)
def test_the_usual_ladder_is_as_long_as_the_model(asked, longest, measured) -> None:
    assert bench.contexts(asked, longest) == measured


@pytest.mark.parametrize(("text", "found"), [("1", (1,)), ("512,2048", (512, 2048))])
def test_a_list_of_numbers_is_read(text: str, found: tuple[int, ...]) -> None:
    assert bench.numbers(text) == found
    with pytest.raises(argparse.ArgumentTypeError):
        bench.numbers(text + ",x")


def test_a_table_has_units_and_says_what_is_unknown() -> None:
    table = bench.lines(
        {
            FIRST: Figure(0.25, 0.5, 0.125),
            TEXTS: Figure(None, 41.26),
            MEMORY + "state": Figure(1000, 2_000_000),
        }
    )
    assert table == [
        ("", "predicted", "measured", "spread"),
        ("first token", "250 ms", "500 ms", "12%"),
        ("texts", "–", "41.3 texts/s", ""),
        ("  state", "1.00 kB", "2.00 MB", ""),
    ]


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    torch.manual_seed(1)
    config = transformers.ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    place = tmp_path_factory.mktemp("vit")
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(place)
    return place


def test_a_model_in_stages_is_measured_stage_by_stage(door, tower: Path) -> None:
    words = ["--batches", "1,2", "--size", "32", "16", "--rounds", "2"]
    code, out, err = door("bench", str(tower), *words)
    assert code == 0, err
    assert "16 × 32 (height × width): one pass of each stage, median of 2 rounds" in out
    for label in ("vision", "weights", "kept and at work", "process peak"):
        assert out.count(label) >= 2
    kept = records(kind="bench")
    assert [one.settings.batch for one in kept] == [1, 2]
    assert all(one.figures["vision" + PASS_SECONDS].measured for one in kept)
    code, out, err = door("bench", str(tower), "--rounds", "1", "--no-record", "--json")
    assert (code, err, len(records())) == (0, "", 2)
    (row,) = json.loads(out)["rows"]
    assert row["work"]["height"] == 16 and row["figures"][TOTAL]["predicted"] > 0


def test_each_kind_is_asked_for_its_own(door, tower: Path, folder: Path) -> None:
    for words, said in (
        ([str(tower), "--contexts", "16"], "for text models"),
        ([str(tower), "--written", "3"], "not asked for written"),
        ([str(tower), "--batches", str(10**9)], "are free; ask for less"),
        ([str(folder), "--size", "8", "8"], "not asked for height"),
    ):
        code, out, err = door("bench", *words)
        assert (code, out) == (2, "") and said in err, err
