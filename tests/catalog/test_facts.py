"""Facts: what a value of a card may be, and how a fault is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.catalog import facts
from fathom.catalog.facts import FIELDS, Fact, address, fact, line_of
from fathom.errors import CatalogError

SAMPLES: dict[type, object] = {str: "words", int: 7, tuple: ["a", "b"]}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_takes_its_own_type_and_no_other(name: str) -> None:
    field = FIELDS[name]
    good = field.choices[0] if field.choices else "2024-07" if field.dated else SAMPLES[field.kind]
    expected = tuple(good) if isinstance(good, list) else good
    assert fact(name, good, "arxiv:1", "2024").value == expected
    for kind, sample in SAMPLES.items():
        if kind is not field.kind:
            with pytest.raises(ValueError, match="must be"):
                fact(name, sample, "arxiv:1", "2024")


REFUSED = [
    ("licence", True, "must be text"),
    ("context_in", True, "whole number"),
    ("context_in", 0, "above zero"),
    ("openness", "ajar", "none of open-source"),
    ("released", "last summer", "no date"),
    ("colour", "red", "no field"),
    ("licence", {"value": "MIT"}, "must hold 'is'"),
    ("licence", {"is": "MIT", "source": ""}, "no source"),
    ("licence", {"is": "MIT", "date": "yesterday"}, "'yesterday'"),
    ("licence", {"is": "MIT", "basis": "guessed"}, "'guessed'"),
    ("classes", ["LLM", 3], "list of texts"),
]


@pytest.mark.parametrize(("name", "content", "complaint"), REFUSED)
def test_what_is_no_fact_is_refused(name: str, content: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fact(name, content, "arxiv:1", "2024")


def test_a_value_may_bring_its_own_source() -> None:
    told = {"is": "MIT", "source": "hub:a/b", "date": "2024-07-01", "basis": "compared"}
    assert fact("licence", told, "arxiv:1", "2023") == Fact(
        "MIT", "hub:a/b", "2024-07-01", "compared"
    )
    assert fact("licence", "MIT", "arxiv:1", "2023") == Fact("MIT", "arxiv:1", "2023")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("arxiv:2307.09288", "https://arxiv.org/abs/2307.09288"),
        ("hub:a/b", "https://huggingface.co/a/b"),
        ("git:a/b", "https://github.com/a/b"),
        ("https://example.org/x", "https://example.org/x"),
    ],
)
def test_a_source_can_be_read(source: str, expected: str) -> None:
    assert address(source) == expected


TEXT = '[one]\na = 1\nb = 2\n\n["two.5"]\na = 3\n["two.5".inner]\nc = 4\n[three]\na = 5\n'


@pytest.mark.parametrize(
    ("entry", "field", "line"),
    [
        ("one", "a", 2),
        ("two.5", "a", 6),
        ("two.5", "c", 8),
        ("three", "a", 10),
        ("three", "b", 9),
        ("one", None, 1),
        ("four", "a", None),
    ],
)
def test_the_line_of_a_field(entry: str, field: str | None, line: int | None) -> None:
    assert line_of(TEXT, entry, field) == line


@given(st.text(alphabet="ab[]=\"'. \n", max_size=60))
def test_any_text_is_tables_or_a_named_fault(text: str) -> None:
    try:
        assert isinstance(facts.parsed("file.toml", text), dict)
    except CatalogError as error:
        assert str(error).startswith("file.toml: is not TOML")
