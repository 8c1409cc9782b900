"""Lets the hub library's progress bars report to ours."""

from __future__ import annotations

from types import TracebackType

from fathom.checkpoint.progress import Progress


class ReportingBar:
    """What ``huggingface_hub`` needs of a progress bar, passed on to a `Progress`."""

    def __init__(self, progress: Progress, what: str, total: float | None, initial: float) -> None:
        self.total = total
        self.n = initial
        self._progress = progress
        self._open = True
        progress.start(None if total is None else int(total), what)
        progress.advance(int(initial))

    def __enter__(self) -> ReportingBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def update(self, count: float | None = 1) -> None:
        self.n += count or 0
        self._progress.advance(int(count or 0))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._progress.done()

    def refresh(self, *_: object, **__: object) -> None:
        """Nothing to draw here."""

    def set_description(self, *_: object, **__: object) -> None:
        """The work has been named at its start."""

    # With these three the library's Xet transport shows one bar instead of two that interleave:
    # bytes written to disk count, bytes on the wire do not.

    def update_transfer(self, count: float) -> None:
        """Bytes on the wire; they arrive on disk, and in `update`, a little later."""

    def set_postfix_str(self, *_: object, **__: object) -> None:
        """The speed is worked out by whoever draws."""

    def set_transfer_postfix_str(self, *_: object, **__: object) -> None:
        """The speed is worked out by whoever draws."""


def reporting_bar(progress: Progress, what: str) -> type[ReportingBar]:
    """A class for the library to use in place of its own bar; keeps only what we show."""

    class Bar(ReportingBar):
        def __init__(
            self, *_: object, total: float | None = None, initial: float = 0, **__: object
        ) -> None:
            super().__init__(progress, what, total, initial)

    return Bar
