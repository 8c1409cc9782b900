"""The catalogue as a table: what leaves can be read back by others, and nothing runs in it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from fathom.catalog import export
from fathom.catalog.export import as_csv, as_json, as_markdown, columns, count_text, rows
from fathom.catalog.facts import FIELDS
from fathom.catalog.models import shipped
from fathom.catalog.tools import tools

PAGE = Path(__file__).resolve().parents[2] / "docs" / "landscape.md"


def test_csv_reads_back() -> None:
    table = list(csv.reader(io.StringIO(as_csv())))
    assert tuple(table[0]) == columns()
    assert len(table) - 1 == sum(len(model.variants) or 1 for model in shipped().values())
    assert {len(row) for row in table} == {len(columns())}
    by_name = {row[0]: dict(zip(table[0], row, strict=True)) for row in table[1:]}
    mixtral = by_name["mixtral-8x7b"]
    assert mixtral["parameters"] == "46702792704"
    assert mixtral["licence source"] == "https://arxiv.org/abs/2401.04088"
    assert by_name["gpt-4"]["parameters"] == "unknown"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_is_a_formula(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "rows", lambda: ((cell,),))
    assert list(csv.reader(io.StringIO(as_csv())))[1] == [f"'{cell}"]


def test_json_holds_every_card_and_fact() -> None:
    cards = json.loads(as_json())
    assert set(cards) == set(shipped())
    for name, model in shipped().items():
        assert set(cards[name]["facts"]) == set(model.facts)
        assert cards[name]["missing"] == list(model.missing)
        assert len(cards[name]["corrections"]) == len(model.corrections)


def test_a_spreadsheet_reads_back(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    file = tmp_path / "models.xlsx"
    export.write_xlsx(file)
    book = openpyxl.load_workbook(file, read_only=True)
    found = list(book["models"].iter_rows(values_only=True))
    assert found[0] == columns()
    assert len(found) - 1 == len(rows())
    for sheet, row in zip(found[1:], rows(), strict=True):
        for name, cell, text in zip(columns(), sheet, row, strict=True):
            counts = name in ("parameters", "context_in") and text != "unknown"
            assert cell == (int(text) if counts else cell) and str(cell or "").lstrip("'") == text
    assert sum(1 for _ in book["tools"].iter_rows()) - 1 == len(tools())
    book.close()


def test_every_fact_has_its_columns() -> None:
    for name in FIELDS:
        assert {name, f"{name} source", f"{name} date"} <= set(columns())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (134_515_008, "135 M"),
        (999_885_952, "1.00 B"),
        (6_738_415_616, "6.74 B"),
        (46_702_792_704, "46.7 B"),
        (405_853_388_800, "406 B"),
        (999_600_000_000, "1.00 T"),
        (12, "12"),
    ],
)
def test_numbers_of_parameters(number: int, text: str) -> None:
    assert count_text(number) == text


def test_the_page_is_what_the_data_says() -> None:
    """`fathom catalog export --format markdown --output docs/landscape.md` renews it."""
    assert PAGE.read_text(encoding="utf-8") == as_markdown()


def a_section() -> str:
    """Stand for a part that somebody else adds to the page."""
    return "## Added"


def test_a_part_is_added_by_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\n## Added\n" not in as_markdown()
    monkeypatch.setattr(export, "SECTIONS", (f"{__name__}:a_section",))
    assert "\n## Added\n" in as_markdown()
