"""The bar: drawn on a terminal, absent elsewhere."""

from __future__ import annotations

import io

import pytest

from fathom.checkpoint.progress import QUIET
from fathom.cli.progress import Bar, shown_progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert shown_progress() is QUIET


def test_a_terminal_has_one_unless_asked_to_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    assert isinstance(shown_progress(), Bar)
    assert shown_progress(quiet=True) is QUIET


@pytest.mark.parametrize("total", [2_000_000, None])
def test_the_bar_is_drawn(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar()
    bar.start(total, "a [red]name[/red] file")  # what looks like markup is a name
    bar.advance(1_500_000)
    bar.advance(-500_000)  # a retry
    bar.done()
    assert "a [red]name[/red] file" in screen.getvalue()
    assert "1.0" in screen.getvalue() and "MB" in screen.getvalue()


def test_work_that_follows_work_and_work_that_never_began() -> None:
    bar = Bar()
    bar.advance(1)
    bar.done()
    bar.start(None, "one")
    bar.start(3, "two")
    bar.done()
    bar.done()
