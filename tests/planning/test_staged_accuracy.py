"""The formula of memory against what the benchmark last measured of models beyond text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from fathom.checkpoint.published import published_spec
from fathom.planning.records import MEMORY, TOTAL
from fathom.planning.stages import predict_stages
from fathom.planning.whole_layers import with_whole
from fathom.spec.work import Staged, Work

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS: Mapping[str, Any] = json.loads((BENCHMARKS / "staged.json").read_text("utf-8"))["memory"]
WORST, MIDDLE = 0.07, 0.05


def configurations() -> Mapping[str, Mapping[str, object]]:
    """Return what the benchmark runs on, by the names of its rows."""
    path = BENCHMARKS / "staged_models.py"
    found = spec_from_file_location("staged_models", path)
    assert found is not None and found.loader is not None
    module = module_from_spec(found)
    sys.modules["staged_models"] = module  # as its dataclasses ask
    found.loader.exec_module(module)
    return {name: row.config for name, row in module.ROWS.items()}


def error(name: str) -> float:
    """Return the predicted peak of the process by the measured one, less one."""
    row, spec = ROWS[name], published_spec(configurations()[name])
    assert isinstance(spec, Staged)
    if row.get("whole"):  # its layers ran whole where it was measured
        spec = with_whole(spec, row["dtype"])
    found = predict_stages(spec, dtype=row["dtype"], work=Work(**row["work"]))
    runtime = row["figures"][MEMORY + "runtime"]["predicted"]
    total = found.total_bytes - found.terms["runtime"] + runtime
    return float(total / row["figures"][TOTAL]["measured"] - 1)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_near(name: str) -> None:
    assert abs(error(name)) < WORST


def test_half_of_the_rows_are_nearer() -> None:
    assert len(ROWS) > 1
    assert median(abs(error(name)) for name in ROWS) < MIDDLE
