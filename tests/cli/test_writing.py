"""An answer on a terminal: what was thought is dimmed, and the line always ends."""

from __future__ import annotations

import io

import pytest

from fathom.cli.writing import DIM, PLAIN, Writer
from fathom.generation.reasoning import Piece


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(monkeypatch: pytest.MonkeyPatch, *pieces: Piece, thinking: bool = True) -> str:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    writer = Writer(thinking=thinking)
    for piece in pieces:
        writer.write(piece)
    writer.end()
    return screen.getvalue()


THOUGHT = (Piece("", "hm"), Piece(), Piece("", " so"), Piece("yes"), Piece("!"))


def test_reasoning_is_dimmed_and_set_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert written(monkeypatch, *THOUGHT) == f"{DIM}hm so{PLAIN}\n\nyes!\n"


def test_one_piece_may_end_the_one_and_begin_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert written(monkeypatch, Piece("yes", "hm\n")) == f"{DIM}hm\n{PLAIN}\nyes\n"


def test_a_terminal_is_left_undimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the thinking is all there is."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert written(monkeypatch, *THOUGHT[:2]) == f"{DIM}hm{PLAIN}\n"


def test_no_colour_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert written(monkeypatch, *THOUGHT) == "hm so\n\nyes!\n"


def test_quiet_is_the_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, *THOUGHT, thinking=False) == "yes!\n"


@pytest.mark.parametrize(("answer", "shown"), [("a", "a\n"), ("a\n", "a\n"), ("", "")])
def test_the_line_ends_once(monkeypatch: pytest.MonkeyPatch, answer: str, shown: str) -> None:
    assert written(monkeypatch, Piece(answer)) == shown
