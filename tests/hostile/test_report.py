"""The document on security names just the cases that exist."""

from __future__ import annotations

import re

from hostile.report import DOCUMENT, attempts, ids
from hostile.tables import TABLES
from hostile.words import OPEN, THREATS


def test_the_document_counts_the_cases_that_there_are() -> None:
    """`python tests/hostile/report.py` renews it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, cases in TABLES.items():
        tried = sum(len(attempts(case)) for case in cases)
        row = f"| {name} | {ids(cases)} | {len(cases)} | {tried} | {tried} |"
        assert row in text, f"{name}: run python tests/hostile/report.py"
    assert text.startswith(THREATS)
    assert all(f"| {line} | {reason} |" in text for line, reason in OPEN.items())
    assert re.search(r"Run on \d\d \w+ \d{4} with Python", text)
