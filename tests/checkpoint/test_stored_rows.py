"""Rows moved without being decoded, against the same rules on decoded tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.naming import Assignment
from fathom.checkpoint.rewriting import forwards
from fathom.checkpoint.stored_rows import StoredReader, StoredRows, stored_rows
from fathom.checkpoint.tensors import Reader
from fathom.dialects import rules
from fathom.errors import ModelFileError

# Steps, shapes of the file's tensors, how many of ours there are; whether whole rows move.
CASES = {
    "rename": ((), [(6, 4)], 1, True),
    "stack": ((rules.Stack(),), [(6, 4), (6, 4), (6, 4)], 1, True),
    "split": ((rules.Split((2, 4)),), [(6, 4)], 2, True),
    "split in groups": ((rules.Split((4, 2, 2), 0, 2),), [(8, 4)], 3, True),
    "split a stack": ((rules.Split((2, 4), 1),), [(3, 6, 4)], 2, True),
    "split columns": ((rules.Split((1, 3), -1),), [(6, 4)], 2, False),
    "join": ((rules.Join((6, 2)),), [(6, 4), (2, 4)], 1, True),
    "regroup": ((rules.Regroup((3, 2, 1), (0, 2, 1)),), [(6, 4)], 1, True),
    "regroup pairs": ((rules.Regroup((1, 3, 2), (0, 2, 1)),), [(6, 4)], 1, True),
    "reshape rows": ((rules.Reshape((6, 4), (2, 3, 4)),), [(6, 4)], 1, True),
    "reshape columns": ((rules.Reshape((6, 4), (3, 8)),), [(6, 4)], 1, False),
    "transpose": ((rules.Transpose(),), [(6, 4)], 1, False),
    "transposed stack": ((rules.Transpose(), rules.Stack()), [(6, 4), (6, 4)], 1, False),
    "shift": ((rules.Shift(1.0),), [(6, 4)], 1, False),
    "logarithm": ((rules.NegativeLogarithm(),), [(6, 4)], 1, False),
}


def test_every_step_has_a_case() -> None:
    met = {type(step) for steps, *_ in CASES.values() for step in steps}
    assert met == set(rules.Step.__args__)


def written(tmp_path: Path, shapes: list[tuple[int, ...]]) -> tuple[list[np.ndarray], Path]:
    generator = np.random.default_rng(0)
    arrays = [-generator.random(shape, dtype=np.float32) - 0.5 for shape in shapes]
    path = tmp_path / "model.safetensors"
    save_file({str(index): array for index, array in enumerate(arrays)}, path)
    return arrays, path


def read(reader: StoredReader, stored: StoredRows) -> np.ndarray:
    """The bytes of all rows, (rows, bytes), from where they are said to lie."""
    rows = stored.rows.reshape(-1)
    found = np.zeros((len(rows), stored.row_bytes), np.uint8)
    for part in reader.parts(stored, rows):
        for at, row in enumerate(part.rows, part.begin):
            found[at] = reader.read(part.info, row * stored.row_bytes, stored.row_bytes)
    return found


@pytest.mark.parametrize("case", CASES)
def test_rules_do_with_rows_what_they_do_with_tensors(case: str, tmp_path: Path) -> None:
    steps, shapes, count, rows_move = CASES[case]
    arrays, path = written(tmp_path, shapes)
    expected = forwards(steps, [torch.from_numpy(array) for array in arrays])
    found = forwards(steps, arrays)
    assert len(found) == count
    for ours, theirs in zip(found, expected, strict=True):
        assert np.allclose(ours, theirs.numpy(), rtol=1e-6)

    contents, reader = read_headers(path), StoredReader()
    theirs_names = tuple(str(index) for index in range(len(shapes)))
    names = tuple(f"ours.{index}" for index in range(count))
    for name, tensor in zip(names, expected, strict=True):
        stored = stored_rows(contents, Assignment(theirs_names, names, steps), name)
        assert (stored is not None) == rows_move
        if stored is None:
            continue
        data = read(reader, stored).view(np.float32)
        assert np.array_equal(data.reshape(*stored.rows.shape, -1), tensor.numpy())
    reader.close()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_plain_numbers_are_what_torch_reads(dtype: torch.dtype, tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_tensors

    path = tmp_path / "model.safetensors"
    save_tensors({"a": (torch.arange(-8, 9) * 3 / 7).to(dtype)}, path)
    contents, reader = read_headers(path), StoredReader()
    found = reader.numbers(contents.tensors["a"])
    reader.close()
    if dtype is torch.int64:
        assert found is None
        return
    with Reader(contents) as tensors:
        assert found is not None
        assert np.array_equal(found, tensors.tensor("a").float().numpy())


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    _, path = written(tmp_path, [(6, 4)])
    info, reader = read_headers(path).tensors["0"], StoredReader()
    reader.read(info, 0, info.size)
    reader.require_unchanged()
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelFileError, match="E_MISMATCH"):
        reader.require_unchanged()
    with pytest.raises(ModelFileError, match="E_TRUNCATED"):
        reader.read(info, 0, info.size)
    reader.close()
