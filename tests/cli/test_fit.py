"""`fathom fit` as a reader and as a program see it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from fathom.cli.main import main

CONFIGS = Path(__file__).parents[1] / "planning" / "published.toml"


@pytest.fixture
def config(tmp_path: Path) -> str:
    published = tomllib.loads(CONFIGS.read_text(encoding="utf-8"))
    file = tmp_path / "config.json"
    file.write_text(json.dumps(published["llama-3-8b"]["config"]), encoding="utf-8")
    return str(file)


def test_the_page_names_verdict_terms_and_units(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", config, "--on", "rtx4090", "--why"]) == 0
    page = capsys.readouterr().out
    for word in ("verdict", "to spare", "weights", "state", "GB", "GiB", "limited by", "float32"):
        assert word in page


def test_gigabytes_and_gibibytes_are_told_apart(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["fit", config, "--on", "rtx4090"])
    total = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("total"))
    count, decimal, binary = (float(word.replace(",", "")) for word in total.split()[1:])
    assert decimal == pytest.approx(count / 1e9, abs=5e-4)
    assert binary == pytest.approx(count / 2**30, abs=5e-4)


def test_json_carries_every_number(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", config, "--on", "rtx4090", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total_bytes"] == sum(found["prediction"]["terms"].values())
    assert found["spare_bytes"] == found["memory_bytes"] - found["total_bytes"]


def test_what_would_fit_is_listed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", config, "--on", "rtx3060"]) == 0
    page = capsys.readouterr().out
    assert "does not fit" in page
    assert "would fit" in page


def test_the_table_needs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--table"]) == 0
    assert "~810GB" in capsys.readouterr().out
    assert main(["fit", "--table", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


def test_nothing_named_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit"]) == 2
    assert "name a model" in capsys.readouterr().err


def test_a_missing_field_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "llama", "hidden_size": 64}), encoding="utf-8")
    assert main(["fit", str(file)]) == 2
    assert "'" in capsys.readouterr().err
