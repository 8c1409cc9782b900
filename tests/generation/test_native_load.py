"""What measures a native program does with it just what is measured of modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fathom.generation.module_pair import ModulePair
from fathom.generation.native_load import NativeLoad
from fathom.generation.native_pair_load import NativePairLoad
from fathom.ops.program_pair import ProgramPair
from fathom.spec.encoder_decoder import EncoderDecoder
from library import pairs

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


@pytest.mark.parametrize("batch", [1, 3])
def test_a_pair_reads_and_writes_what_its_modules_do(batch: int, tmp_path: Path) -> None:
    """Each row about a text of its own, and the same again after a full context."""
    folder, _ = pairs.make(tmp_path, "t5", {})
    model = pairs.opened(folder, natively=True)
    spec, programs = model.spec, model.program
    assert isinstance(spec, EncoderDecoder) and isinstance(programs, ProgramPair)
    load = NativePairLoad(spec, programs, 40, batch)
    course = ModulePair(model.module, dtype=torch.float32).begin(rows=batch, capacity=40, source=40)
    for _ in range(2):
        load.fill()
        load.read()
        course.read(load._tokens)
        token = load._begin
        for _ in range(load.written):
            token = course.scores(token).argmax(-1, keepdim=True).tolist()
            assert load._next == token
            load.write()
