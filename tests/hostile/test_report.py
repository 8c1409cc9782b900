"""The document on security names just the cases that exist."""

from __future__ import annotations

import re

from hostile import requests
from hostile.report import DOCUMENT, ROOT, attempts, ids
from hostile.tables import CASES, TABLES
from hostile.words import ELSEWHERE, OPEN, THREATS


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


LINES = {"ST": 44, "GG": 57, "PK": 36, "CF": 30, "TK": 24, "JJ": 24, "AD": 16, "F": 36}
"""How many lines each part of the catalogue has."""


def test_every_line_is_a_case_or_a_test_or_named_as_open() -> None:
    named = {case.id for case in CASES}
    for lines in (*ELSEWHERE, *OPEN):
        named |= set(re.findall(r"[A-Z]+-\d+", lines))
        for part, first, last in re.findall(r"([A-Z]+)-(\d+) to \1-(\d+)", lines):
            named |= {f"{part}-{number:02}" for number in range(int(first), int(last) + 1)}
    wanted = {f"{part}-{n:02}" for part, count in LINES.items() for n in range(1, count + 1)}
    assert sorted(wanted - named) == []
    assert [place for place in ELSEWHERE.values() if not (ROOT / place).is_file()] == []


def test_every_line_on_requests_is_a_test_or_named_with_its_reason() -> None:
    """`python tests/hostile/requests.py` renews the section."""
    named = set(requests.held()).union(*map(requests.lines, requests.REASONS))
    wanted = {
        f"{part}-{number:02}" for part, each in requests.FIRST_RANK.items() for number in each
    }
    assert sorted(wanted - named) == []
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(requests.section()) in text


def test_nothing_of_ours_is_kept_as_a_pickle() -> None:
    """PK-33: a cache that an attacker replaces must not run."""
    allowed = {"unpickling.py", "pickle_child.py"}
    found = [
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if re.search(
            r"^\s*(import|from) (pickle|marshal|shelve|dill)\b|torch\.load\(",
            path.read_text(),
            re.M,
        )
    ]
    assert set(found) <= allowed
