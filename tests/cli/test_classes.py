"""`fathom classes`: all, one, some side by side, and the tables by size."""

from __future__ import annotations

import json
import re

import pytest

from fathom.catalog.classes import classes


def test_all_classes_in_a_table(door) -> None:
    code, out, err = door("classes")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["class", "full", "name"]
    assert [line.split()[0] for line in lines[1 : 1 + len(classes())]] == list(classes())


def test_one_line_each(door) -> None:
    lines = door("classes", "--short")[1].splitlines()
    assert len(lines) == len(classes())
    assert lines[0] == f"{'LLM':<{max(map(len, classes()))}}  The general tool for text."


@pytest.mark.parametrize("name", classes())
def test_every_class_has_a_page(door, name: str) -> None:
    code, out, _ = door("classes", name)
    assert code == 0
    assert out.startswith("class ") and "measured by" in out and "source" in out
    assert ("(not yet)" in out) != classes()[name].runs


def test_a_value_of_its_own_source_says_so(door) -> None:
    assert "[https://arxiv.org/abs/2401.04088, 2024-01-08]" in door("classes", "moe")[1]


def test_two_side_by_side_with_the_rule_between_them(door) -> None:
    out = door("classes", "--compare", "llm", "slm")[1]
    assert "  LLM  1B-405B\n  SLM  100M-7B" in out
    assert "LLM or SLM" in out and "complex-reasoning" in out


def test_memory_beside_the_figures_of_the_notes(door) -> None:
    rows = [line.split() for line in door("classes", "--memory")[1].splitlines()[1:6]]
    assert rows[0][:6] == ["1", "B", "2.00", "GB", "2", "GB"]
    assert rows[3][2:6] == ["140", "GB", "140", "GB"]


@pytest.mark.parametrize("option", ["--memory", "--sizes", "--trends"])
def test_tables_end_with_evidence_and_our_verdict(door, option: str) -> None:
    out = door("classes", option)[1]
    assert re.search(r"^evidence +.*\(.*https://.*, \d{4}.*\)$", out, re.MULTILINE)
    assert re.search(r"^verdict: (holds|aged|wrong) +.*\(\d{4}.*\)$", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ((), "classes"),
        (("MoE",), "facts"),
        (("--compare", "LLM", "SLM"), "rules"),
        (("--memory",), "weights"),
        (("--trends",), "rows"),
    ],
)
def test_json_is_one_object(door, words: tuple[str, ...], key: str) -> None:
    assert json.loads(door("classes", *words, "--json")[1])[key]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("MoEE",), "Did you mean"),
        (("--compare", "LLM"), "takes two classes or more"),
        (("LLM", "--short"), "not both"),
        (("--short", "--memory"), "not allowed with argument"),
    ],
)
def test_what_makes_no_sense_is_refused(door, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = door("classes", *words)
    assert (code, out) == (2, "")
    assert complaint in err and len(err.splitlines()) == 1
