"""The page on puzzles says what was measured, no more."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def puzzles() -> ModuleType:
    spec = importlib.util.spec_from_file_location("puzzles", ROOT / "benchmarks" / "puzzles.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_page_is_written_from_what_was_measured(puzzles: ModuleType) -> None:
    """`python benchmarks/puzzles.py --page` renews it."""
    rows = json.loads((ROOT / "benchmarks" / "puzzles.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "puzzles.md").read_text(encoding="utf-8")
    assert text == puzzles.page(rows)
    assert {row["without"] for row in rows.values()} == set(puzzles.WITHOUT)


def test_a_verdict_counts_every_measurement(puzzles: ModuleType) -> None:
    measured = [[(0.0, 0.0), (0.5, 0.25)], [(0.5, 1.0), (0.25, 0.5), (None, 1.0)]]
    rows = [
        {
            "recipe": {"seed": seed},
            "points": [
                {"step": 250 * (at + 1), "last": last, "averaged": averaged}
                for at, (last, averaged) in enumerate(points)
            ],
        }
        for seed, points in enumerate(measured)
    ]
    told = puzzles.verdict(rows)
    assert "in 2 of 4 measurements, as many in 1, fewer in 1; +12.5 points" in told
    table = list(puzzles.curves("sudoku-6", "nothing", 4, rows))[2:]
    assert len({line.count("|") for line in table}) == 1
    assert table[3] == "| 500 | 50.0% | 25.0% | 25.0% | 50.0% |"
    assert table[4] == "| 750 | – | – | – | 100.0% |"
