"""The formula of memory against what the benchmark last measured of every dialect of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.planning.predict import predict
from fathom.planning.probe import Rates
from planning.test_fit import MODELS, OF_TEXT

KEPT = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "accuracy.json").read_text(encoding="utf-8")
)
ROWS: list[Mapping[str, Any]] = KEPT["rows"]
WORST, MIDDLE = 0.07, 0.03


def _error(row: Mapping[str, Any]) -> float:
    """Return predicted growth of the process by measured growth, less one."""
    setting = row["setting"]
    config = {"model_type": setting["model"], **MODELS[setting["model"]]}
    found = predict(
        find(setting["model"]).read(Config(config)),
        dtype=setting["dtype"],
        context=row["context"],
        batch=setting["batch"],
        rates=Rates(**KEPT["rates"]),
    )
    growth = found.total_bytes - found.terms["runtime"] + KEPT["rates"]["code_bytes"]
    return float(growth / row["taken"]["peak"] - 1)


def test_every_dialect_of_text_was_measured() -> None:
    assert {row["setting"]["model"] for row in ROWS} == set(OF_TEXT)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row["setting"].values())))
def test_memory_is_predicted_as_it_was_measured(row: Mapping[str, Any]) -> None:
    assert abs(_error(row)) < WORST


def test_the_median_error_of_memory_is_small() -> None:
    assert median(abs(_error(row)) for row in ROWS) < MIDDLE
