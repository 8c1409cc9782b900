"""A case fails when its check is taken away: the tests test what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile.mutations import BY_NAME, MUTATIONS, tried
from hostile.runner import Runner
from hostile.tables import TABLES


@pytest.mark.parametrize("check", MUTATIONS)
def test_without_its_check_the_case_fails(check: str, runner: Runner, tmp_path: Path) -> None:
    for removed in (False, True):
        verdict, complaints = tried(check, runner, tmp_path / str(removed), removed=removed)
        assert bool(complaints) == removed, (verdict, complaints)


def test_every_format_has_a_mutation() -> None:
    mutated = [BY_NAME[mutation.case] for mutation in MUTATIONS.values()]
    assert [name for name, cases in TABLES.items() if not any(c in mutated for c in cases)] == []
