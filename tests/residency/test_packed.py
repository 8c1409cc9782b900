"""What is refused while weights are packed, and what of it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fathom.checkpoint.description import Description, describe
from fathom.checkpoint.progress import QUIET, Progress
from fathom.errors import FathomError, ModelFileError, NotFoundError
from fathom.programs.steps import Matrix
from fathom.residency.packed import PackedWeights
from fathom.residency.programs import load_programs
from fathom.spec.decoder import Decoder
from fathom.spec.model import text_model
from fathom.spec.parts import parameters
from library import tiny

FILE = "model.safetensors"


class Counted:
    def __init__(self) -> None:
        self.bytes = 0

    def start(self, total: int | None, what: str) -> None: ...

    def advance(self, count: int) -> None:
        self.bytes += count

    def done(self) -> None: ...


@pytest.fixture
def described(tmp_path: Path) -> Description:
    return describe(tiny.make(tmp_path / "tiny"))


def pack(description: Description, progress: Progress = QUIET) -> dict[str, Any]:
    """Pack every matrix of the model."""
    assert description.contents is not None
    spec = text_model(description.spec)
    plain = [one.name for one in parameters(spec) if len(one.shape) == 2]
    with PackedWeights(
        spec,
        description.contents,
        description.assignments(),
        threads=2,
        progress=progress,
    ) as weights:
        return {name: weights.matrix(Matrix(name)) for name in plain}


def test_progress_counts_every_byte_that_is_packed(described: Description) -> None:
    counted = Counted()
    found = pack(described, counted)
    assert counted.bytes == sum(each.rows * each.columns for each in found.values()) * 4


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [(shorten, ModelFileError, "E_TRUNCATED"), (remove, NotFoundError, "cannot be read")],
)
def test_a_file_that_is_not_what_it_was_is_refused(
    spoil: Callable[[Path], None], error: type[FathomError], told: str, described: Description
) -> None:
    pack(described)  # the twin
    spoil(described.folder / FILE)
    with pytest.raises(error, match=told):
        pack(described)


def test_other_work_is_done_once_while_native_threads_pack(
    described: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all that stays was made, and before anybody waits."""
    order: list[str] = []
    waits = PackedWeights._await
    monkeypatch.setattr(
        PackedWeights, "_await", lambda self: (order.append("waits"), waits(self))[1]
    )
    assert described.contents is not None
    spec = described.spec
    assert isinstance(spec, Decoder)
    program = load_programs(
        spec,
        described.contents,
        described.assignments(),
        dtype="float32",
        threads=1,
        progress=QUIET,
        meanwhile=lambda: order.append("other work"),
    )
    assert order == ["other work", "waits"]
    assert program.matrices
