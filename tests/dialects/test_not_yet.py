"""What is recognised and does not run: told by its class, and never at odds with what does run."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from fathom.catalog.classes import classes
from fathom.cli.main import main
from fathom.dialects.dialect import find, known
from fathom.dialects.not_yet import NOT_YET, recognised
from fathom.errors import UnknownArchitectureError


def test_nothing_that_runs_is_said_not_to() -> None:
    named = list(chain(*NOT_YET.values()))
    assert len({name.casefold() for name in named}) == len(named)
    assert not set(named) & set(known())


def test_their_classes_are_the_catalogues() -> None:
    assert {name for name, _ in NOT_YET} <= set(classes())


@pytest.mark.parametrize("told", NOT_YET, ids=lambda told: told[1])
def test_each_is_told_by_what_it_is(told: tuple[str, str]) -> None:
    first = NOT_YET[told][0]
    assert recognised(first.upper()) == told
    with pytest.raises(UnknownArchitectureError, match=f"is {told[1]}.* does not run yet"):
        find(first)


def test_explain_says_so_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "esm"}))
    assert main(["explain", str(tmp_path / "config.json")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a model of proteins" in said
    assert "fathom classes foundation" in said


def test_an_unknown_one_is_told_briefly() -> None:
    with pytest.raises(UnknownArchitectureError, match="Did you mean llama") as caught:
        find("llamma")
    assert len(str(caught.value)) < 300
