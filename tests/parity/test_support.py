"""The page of support says what is proven now; only the errors in it need a run of the proof."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fathom.dialects.dialect import COMPONENTS, FAMILIES
from parity import support


def test_the_page_lists_just_what_is_proven() -> None:
    page = support.PAGE.read_text(encoding="utf-8")
    assert page == support.render(support.read(page)), "run `make support`"
    assert "?" not in {found.bound for found in support.read(page).values()}, "run `make support`"


def test_every_dialect_is_on_the_page() -> None:
    page = support.PAGE.read_text(encoding="utf-8")
    shown = {model_type for _, model_type in support.read(page)}
    assert set(FAMILIES) <= shown <= {*FAMILIES, *COMPONENTS}
    dialects = {COMPONENTS[kind] for kind in shown - set(FAMILIES)}
    assert dialects == set(COMPONENTS.values())


def test_a_page_is_read_as_it_was_written() -> None:
    found = {key: support.Found("LLM", "1e-5") for key in support.read(support.PAGE.read_text())}
    assert support.read(support.render(found)) == found


@pytest.mark.parametrize(
    ("error", "bound"),
    [(0.0, "1e-7"), (3e-9, "1e-7"), (1e-6, "1e-6"), (1.01e-6, "1e-5"), (9e-5, "1e-4")],
)
def test_an_error_is_bounded_from_above(error: float, bound: str) -> None:
    assert support.bound(error) == bound
    assert error <= float(bound)


@pytest.mark.parametrize("row", support.rows(), ids=[row["id"] for row in support.rows()])
def test_every_model_is_opened_by_a_dialect_or_says_why_not(row: dict[str, object]) -> None:
    types = row.get("types", [])
    assert isinstance(types, list)
    assert set(types) <= {*FAMILIES, *COMPONENTS}
    assert bool(types) != bool(row.get("not_covered"))


def test_rows_are_told_apart() -> None:
    ids = [row["id"] for row in support.rows()]
    assert len(ids) == len(set(ids))


def test_no_open_model_of_the_landscape_is_left_out() -> None:
    """Where the table of the landscape lies beside the checkout."""
    tables = [folder / "shared" / "rows.tsv" for folder in Path(__file__).resolve().parents]
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        pytest.skip("shared/rows.tsv is not beside this checkout")
    with table.open(encoding="utf-8", newline="") as lines:
        entries = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    published = {e["id"]: e["name"] for e in entries if e["kind"] == "open-model"}
    listed = {row["id"]: row["name"] for row in support.rows()}
    assert published.items() <= listed.items()
