"""Solving: rounds, halting, what is checked and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from fathom import library
from fathom.cli.main import main
from fathom.errors import FathomError, RequestError, UnsupportedTaskError
from fathom.tuning.puzzle_runs import PuzzleRun
from fathom.tuning.recipe import Recipe
from fathom.tuning.runs import RUNS, named, write
from parity import trm_reference as reference

PUZZLE = "1... ..3. .4.. ...2"
SHORT = Recipe(steps=2, batch=4, warm=1)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> Path:
    """Return the folder of a model of sudoku with four rows that has hardly learned."""
    folder = tmp_path_factory.mktemp("solver") / "model"
    run = RUNS["trm"]["sudoku-4"]
    assert isinstance(run, PuzzleRun)
    trained = replace(run, puzzles=8, tested=8).perform(SHORT, lambda report: None)
    write(trained, SHORT, folder)
    return folder


def test_an_answer_is_checked_and_not_believed(untrained: Path) -> None:
    found = library.open(str(untrained)).solve(PUZZLE)
    assert found.rounds == len(found.answers) == 8
    assert found.cells == found.answers[-1]
    assert not found.right
    assert found.halted is None


def test_it_halts_when_the_model_thinks_itself_right(untrained: Path) -> None:
    model = library.open(str(untrained))
    model.module.halt.bias.fill_(5.0)
    found = model.solve(PUZZLE)
    assert (found.rounds, found.halted) == (1, 1)


def test_rounds_are_taken_as_asked(untrained: Path) -> None:
    model = library.open(str(untrained))
    assert model.solve(PUZZLE, rounds=3).answers == model.solve(PUZZLE).answers[:3]
    with pytest.raises(RequestError, match="at least one"):
        model.solve(PUZZLE, rounds=0)


def test_a_puzzle_of_another_size_is_refused(untrained: Path) -> None:
    with pytest.raises(RequestError, match="4 rows, and the puzzle has 6"):
        library.open(str(untrained)).solve("." * 36)


def test_asked_for_a_chat_it_says_what_it_is(untrained: Path) -> None:
    with pytest.raises(UnsupportedTaskError, match=r"class is recursive.*it can solve"):
        library.open(str(untrained)).chat([])


def test_how_it_came_to_be_is_written_beside_it(untrained: Path) -> None:
    told = json.loads((untrained / "training.json").read_text())
    assert told["recipe"]["steps"] == 2
    assert told["outcome"]["parameters"] == 123_906
    stated = json.loads((untrained / "config.json").read_text())
    assert load_file(untrained / "model.safetensors").keys() == reference.weights(stated).keys()


def test_the_command_line_trains_and_solves(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "model"
    words = [
        "train",
        "trm",
        "sudoku-4",
        "--steps",
        "2",
        "--batch",
        "4",
        "--out",
        str(folder),
    ]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(folder)
    assert main(["solve", str(folder), PUZZLE, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["right"] is False
    assert found["predicted"]["terms"]["weights: layers"] > 0
    (tmp_path / "puzzle.txt").write_text(PUZZLE)
    assert main(["solve", str(folder), str(tmp_path / "puzzle.txt"), "--show"]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("round") == 7
    assert "breaks a rule" in printed.err
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


REFUSED = {
    "an unknown run": ["trm", "sudoku-5"],
    "no steps": ["trm", "sudoku-4", "--steps", "0"],
    "an unknown kind": ["gpt", "sudoku-4"],
    "a run of another kind": ["trm", "tones"],
    "what it has not": ["whisper", "tones", "--without", "recursion"],
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_run_that_cannot_be_is_one_line(fault: str, capsys) -> None:
    assert named("trm", "sudoku-4") is RUNS["trm"]["sudoku-4"]
    assert main(["train", *REFUSED[fault]]) == FathomError.exit_code
    assert capsys.readouterr().err.count("\n") == 1
