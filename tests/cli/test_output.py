"""JSON, numbers with their units, columns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.cli.output import byte_text, column_lines, plain, rate_text, seconds_text


@dataclass
class Part:
    path: Path
    numbers: tuple[float, ...]


def test_what_json_lacks_is_translated() -> None:
    value = {1: Part(Path("a"), (1.5, float("nan"), float("-inf"))), "kinds": frozenset({"x"})}
    assert plain(value) == {"1": {"path": "a", "numbers": [1.5, None, None]}, "kinds": ["x"]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_json_has_survives(value: object) -> None:
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == plain(value)


@pytest.mark.parametrize("value", [b"bytes", object(), bytearray(2), Part])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        plain(value)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (98_331_000, "98.3 MB"),
        (135e9, "135 GB"),
        (9.996e9, "10.0 GB"),
        (99.97e9, "100 GB"),
        (4.2e15, "4,200 TB"),
    ],
)
def test_bytes(count: float, text: str) -> None:
    assert byte_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "12.3 ms"), (0.34, "340 ms"), (1, "1.00 s"), (75.2, "75.2 s")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_rates() -> None:
    assert rate_text(41.26, "tokens") == "41.3 tokens/s"
    assert rate_text(0.5, "tokens") == "0.50 tokens/s"


def test_columns() -> None:
    rows = [("name", "bytes"), ("a", "1,000")]
    assert column_lines(rows, right=frozenset({1})) == ["name  bytes", "a     1,000"]
    assert column_lines(rows) == ["name  bytes", "a     1,000"]
    assert column_lines([("longer", "1"), ("b", "22")], right=frozenset({1})) == [
        "longer   1",
        "b       22",
    ]


@given(
    st.lists(st.tuples(st.text("ab ", max_size=40), st.text("ab ", max_size=90)), min_size=1),
    st.integers(min_value=18, max_value=120),
)
def test_columns_keep_to_a_width_and_lose_no_letter(
    rows: list[tuple[str, str]], width: int
) -> None:
    """Two columns of eight letters and the space between them are the least that there is."""
    lines = column_lines(rows, width=width)
    assert max(map(len, lines)) <= width
    letters = [letter for row in rows for cell in row for letter in cell if letter != " "]
    assert sorted(letters) == sorted("".join(lines).replace(" ", ""))


def test_cells_go_on_below() -> None:
    rows = [("class", "best for"), ("LLM", "general text tasks")]
    assert column_lines(rows, width=20) == [
        "class  best for",
        "LLM    general text",
        "       tasks",
    ]
