"""Every line of the catalogue by every door it concerns, and its sound twin beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostile.case import Case
from hostile.runner import Runner
from hostile.tables import CASES, TABLES

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


@pytest.fixture(scope="module")
def optimised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with Runner(tmp_path_factory.mktemp("optimised"), optimised=True) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("table", ["safetensors", "GGUF", "pickle", "configuration", "adapter"])
def test_nothing_depends_on_an_assert(table: str, optimised: Runner, tmp_path: Path) -> None:
    """PK-36: ``python -O`` leaves out every assert, and the answers are the same."""
    for number, case in enumerate(TABLES[table]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert optimised.complaints(case, case.doors[0], folder) == [], case.name


def test_every_refusal_has_a_twin_and_every_name_is_used_once() -> None:
    assert [case.name for case in CASES if case.code and case.twin is None] == []
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
