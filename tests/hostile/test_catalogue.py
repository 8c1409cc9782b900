"""Every line of the catalogue by every door it concerns, and its sound twin beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hostile.case import Case
from hostile.runner import Runner
from hostile.tables import CASES

ATTEMPTS = [(case, door) for case in CASES for door in case.doors]
TWINS = [(case, door) for case in CASES if case.twin for door in case.twin_doors]


@pytest.mark.parametrize(
    ("case", "door"), ATTEMPTS, ids=[f"{case.name}, {door}" for case, door in ATTEMPTS]
)
def test_the_case_ends_as_the_catalogue_says(
    case: Case, door: str, runner: Runner, tmp_path: Path
) -> None:
    assert runner.complaints(case, door, tmp_path) == []


@pytest.mark.parametrize(
    ("case", "door"), TWINS, ids=[f"{case.name}, {door}" for case, door in TWINS]
)
def test_its_sound_twin_is_accepted(case: Case, door: str, runner: Runner, tmp_path: Path) -> None:
    twin = replace(case, build=case.twin, code="", twin=None)
    assert runner.complaints(twin, door, tmp_path) == []


def test_every_refusal_has_a_twin_and_every_name_is_used_once() -> None:
    assert [case.name for case in CASES if case.code and case.twin is None] == []
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
