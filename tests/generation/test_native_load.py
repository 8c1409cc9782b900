"""What measures a native program does with it just what is measured of modules."""

from __future__ import annotations

import pytest

from fathom.generation.native_load import NativeLoad

from .conftest import Tiny
from .test_native import forward


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("most_tokens", [2, 64])
def test_rows_read_and_write_what_they_would_alone(
    tiny: Tiny, most_tokens: int, batch: int
) -> None:
    """Also where a batch has more rows than a program takes tokens, and after a full context."""
    native = forward(tiny, most_tokens)
    load = NativeLoad(native.spec, native.program, 64, batch)
    load.fill()
    load.read()
    written = []
    for _ in range(load.written):
        load.write()
        written.append(load._next.tolist())
    for row in range(batch):
        course = native.begin(64)
        token = int(course.scores(load._tokens[row, : load.prompt].tolist()).argmax())
        for step in range(load.written):
            token = int(course.scores([token]).argmax())
            assert written[step][row] == token
