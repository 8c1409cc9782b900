"""Progress of long work: a bar on a terminal's stderr, nothing at all in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fathom.checkpoint.progress import QUIET, Progress
from fathom.cli.output import on_terminal

if TYPE_CHECKING:
    from rich import progress as rich_progress


class Bar:
    """A bar with bytes, speed and time left. Rich is imported when work starts, not before."""

    def __init__(self) -> None:
        self._shown: rich_progress.Progress | None = None
        self._task: rich_progress.TaskID | None = None

    def start(self, total: int | None, what: str) -> None:
        """Draw a new bar; `total` in bytes, ``None`` where nobody knows."""
        from rich import progress
        from rich.console import Console
        from rich.markup import escape

        self.done()
        self._shown = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            *self._columns(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._shown.start()
        self._task = self._shown.add_task(escape(what), total=total)

    def _columns(self) -> tuple[rich_progress.ProgressColumn, ...]:
        """Return what is told of the amount that is through."""
        from rich import progress

        return progress.DownloadColumn(), progress.TransferSpeedColumn()

    def advance(self, count: int) -> None:
        """Move by so many bytes, backwards when a retry begins again."""
        if self._shown is not None and self._task is not None:
            self._shown.advance(self._task, count)

    def done(self) -> None:
        """Take the bar away: the result is what stays on the screen."""
        if self._shown is not None:
            self._shown.stop()
        self._shown = self._task = None


class SoundBar(Bar):
    """A bar over the seconds of a sound."""

    def _columns(self) -> tuple[rich_progress.ProgressColumn, ...]:
        from rich import progress

        return (progress.TextColumn("{task.completed:.0f} of {task.total:.0f} s of sound"),)


def shown_progress(quiet: bool = False) -> Progress:
    """Return the progress to hand to the library: a bar where a person can see it."""
    return Bar() if on_terminal(sys.stderr) and not quiet else QUIET
