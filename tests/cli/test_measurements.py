"""`fathom measurements`: the list, the export, forgetting; and that `run` writes what it reads."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fathom.cli import measurements
from fathom.planning.records import (
    DECODE,
    LOAD,
    TOTAL,
    Figure,
    Record,
    Settings,
    Software,
    Subject,
)
from fathom.planning.store import keep, records

RECORD = Record(
    kind="run",
    subject=Subject("smollm2:135m", "ab" * 32, "llama", "SLM", 134, 134, "Q4_1"),
    settings=Settings("bfloat16", "cpu", 2, 1280, 1, 37, 60),
    figures={DECODE: Figure(40.0, 50.0), TOTAL: Figure(None, 3e8), LOAD: Figure(None, 0.5)},
    machine="a machine",
    software=Software("0.1.0", None, "2.13.0", "f0"),
    time="2025-01-02T03:04:05+00:00",
)
OTHER = replace(RECORD, kind="bench", subject=replace(RECORD.subject, name="a,b\n", digest="c"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FATHOM_RECORD", raising=False)
    return tmp_path / "data"


def test_nothing_yet_says_how_to_begin(door) -> None:
    code, out, _ = door("measurements")
    assert code == 0 and "`fathom bench`" in out


def test_the_list_says_what_ran_and_how_fast(door, folder: Path) -> None:
    keep(RECORD)
    code, out, _ = door("measurements")
    assert code == 0
    line = out.splitlines()[1]
    assert line.split() == [
        *("2025-01-02", "03:04", "smollm2:135m", "run", "bfloat16", "1,280", "1", "–"),
        *("50.0", "tokens/s", "300", "MB", "125%", "of", "predicted"),
    ]
    assert str(folder) in out


def test_a_long_list_shows_the_latest(door, monkeypatch) -> None:
    monkeypatch.setattr(measurements, "SHOWN", 2)
    for hour in range(5):
        keep(replace(RECORD, time=f"2025-01-02T0{hour}:00:00+00:00"))
    out = door("measurements")[1]
    assert "03:00" in out and "04:00" in out and "02:00" not in out
    assert "3 earlier ones not shown" in out


def test_names_and_kinds_narrow_the_list(door) -> None:
    keep(RECORD)
    keep(OTHER)
    assert len(json.loads(door("measurements", "--json")[1])["records"]) == 2
    for words in (["smollm2:135m"], ["abababab"], ["--kind", "run"]):
        (found,) = json.loads(door("measurements", *words, "--json")[1])["records"]
        assert found["subject"]["name"] == "smollm2:135m"
        assert found["figures"][DECODE] == {"predicted": 40.0, "measured": 50.0, "spread": None}


def test_csv_has_one_line_per_record_and_a_column_per_figure(door, tmp_path: Path) -> None:
    keep(RECORD)
    keep(OTHER)
    file = tmp_path / "all.csv"
    assert door("measurements", "--export", str(file))[:2] == (0, f"2 records in {file}\n")
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["subject.name"] for row in rows] == ["smollm2:135m", "a,b\n"]
    assert rows[0]["settings.dtype"] == "bfloat16"
    assert float(rows[0][f"{DECODE}.measured"]) == 50.0
    assert "software.commit" not in rows[0]  # nobody knows it


def test_jsonl_is_the_records(door, tmp_path: Path) -> None:
    keep(RECORD)
    file = tmp_path / "all.jsonl"
    code, out, _ = door("measurements", "--export", str(file), "--json")
    assert (code, json.loads(out)) == (0, {"file": str(file), "records": 1})
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["figures"][TOTAL]["measured"] == 3e8


def test_an_export_that_cannot_be_is_one_line(door, tmp_path: Path) -> None:
    keep(RECORD)
    code, _, err = door("measurements", "--export", str(tmp_path / "all.xlsx"))
    assert code == 2 and ".csv or .jsonl" in err
    (tmp_path / "file").write_text("")
    code, _, err = door("measurements", "--export", str(tmp_path / "file" / "all.csv"))
    assert code == 4 and err.count("\n") == 1


def test_forgetting_says_how_many(door) -> None:
    keep(RECORD)
    keep(OTHER)
    assert door("measurements", "smollm2:135m", "--forget")[1] == "1 forgotten\n"
    assert records() == [OTHER]
    assert json.loads(door("measurements", "--forget", "--json")[1]) == {"forgotten": 1}
    assert door("measurements", "--forget", "--export", "x.csv")[0] == 2


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with a tokenizer of single letters."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    place = tmp_path_factory.mktemp("llama")
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        eos_token_id=None,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    letters = {chr(ord("a") + number): number for number in range(26)}
    backend = Tokenizer(models.WordLevel({**letters, "?": 26}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(place)
    return place


def test_a_run_records_counts_and_figures_and_nothing_that_was_said(door, chatty: Path) -> None:
    words = ["run", str(chatty), "abcd", "--raw", "--max-tokens", "12"]
    assert door(*words)[0] == 0
    assert door(*words, "--json", "--no-record")[0] == 0
    (kept,) = records()
    assert kept.kind == "run"
    assert (kept.settings.prompt_tokens, kept.settings.new_tokens) == (4, 12)
    assert kept.settings.context == 16
    assert kept.figures[DECODE].measured and kept.figures[DECODE].predicted
    assert kept.figures[TOTAL].measured
    assert "abcd" not in str(replace(kept, machine=""))


def test_the_environment_turns_it_off(door, chatty: Path, monkeypatch) -> None:
    monkeypatch.setenv("FATHOM_RECORD", "0")
    assert door("run", str(chatty), "abcd", "--raw", "--max-tokens", "2")[0] == 0
    assert records() == []


def test_later_runs_are_calibrated_and_say_so(door, chatty: Path, monkeypatch) -> None:
    monkeypatch.setattr("fathom.planning.calibration.BUSY", 1.0)  # whatever else runs here
    words = ["run", str(chatty), "abcd", "--raw", "--max-tokens", "12"]
    for _ in range(3):
        assert "calibrated" not in door(*words)[2]
    assert "calibrated from 3 runs here; the formula alone says" in door(*words)[2]
    predicted = json.loads(door(*words, "--json")[1])["predicted"]
    assert predicted["calibrated_from"] == 4
    formula = [one.figures[DECODE].predicted for one in records()]
    assert formula == pytest.approx([formula[0]] * 5)  # what is kept is never calibrated
    assert predicted["raw"]["decode_tokens_per_second"] == pytest.approx(formula[0])
