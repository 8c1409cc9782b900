"""A case fails when its check is taken away: the tests test what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile.mutations import MUTATIONS
from hostile.runner import Runner
from hostile.tables import CASES

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize("check", MUTATIONS)
def test_without_its_check_the_case_fails(check: str, runner: Runner, tmp_path: Path) -> None:
    name, door = MUTATIONS[check]
    for number, without in enumerate(([], [check])):
        folder = tmp_path / str(number)
        folder.mkdir()
        complaints = runner.complaints(BY_NAME[name], door, folder, without=without)
        assert bool(complaints) == bool(without), complaints
