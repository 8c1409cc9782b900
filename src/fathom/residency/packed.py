"""Weights in the layout of the native kernels, packed from the file without being decoded.

Rows go from the file to their place a piece at a time, so that the peak is the packed weights
and a piece for each core. Native threads do that, from the first matrix on, and never wait for the
interpreter: the caller may work meanwhile. What no kernel multiplies, or what a naming rule turns
inside out, is decoded and packed as plain numbers of the width that it was stored with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.naming import Assignment
from fathom.checkpoint.progress import QUIET, Progress
from fathom.checkpoint.rewriting import forwards
from fathom.checkpoint.stored_rows import StoredReader, StoredRows, stored_rows
from fathom.errors import ModelFileError, NotFoundError, TensorMismatchError
from fathom.ops.native import native
from fathom.planning.grouping import GROUPS, grouped
from fathom.programs.steps import Matrix
from fathom.spec.model import Layered, Writing
from fathom.spec.parts import Parameter, parameters

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats: TypeAlias = NDArray[np.float32]

LOOK = 0.1  # seconds between two reports of progress
PLAIN_NUMBERS = ("F32", "F16", "BF16")  # that are rounded to integers row by row
PLAIN = {2: "BF16", 4: "F32"}  # what decoded numbers are packed as, by the bytes of their type


class PackedWeights:
    """The weights of a program (`programs.assembly.Weights`), from a checkpoint.

    Use as a context manager: files are open meanwhile, and matrices are whole at its end.

    Raises, at the end:
        ModelFileError: ``E_MISMATCH`` if a file was written to meanwhile, ``E_TRUNCATED`` if one is
            shorter than its header said.
        NotFoundError: a file cannot be read.
    """

    def __init__(
        self,
        spec: Layered | Writing,
        contents: Contents,
        assignments: Sequence[Assignment],
        *,
        threads: int,
        rounded: bool = False,
        quant: str | None = None,
        progress: Progress = QUIET,
    ) -> None:
        """Take a checkpoint; `rounded`, matrices stored in float32 become bfloat16.

        With `quant` those that `planning.grouping` names become groups of integers.

        Raises:
            RequestError: for an unknown name.
        """
        self._contents = contents
        self._wanted = {parameter.name: parameter for parameter in parameters(spec)}
        self._assignments = {name: each for each in assignments for name in each.ours}
        self._reader = StoredReader()
        self._rounded = rounded
        self._grouped = grouped(self._wanted.values(), quant)
        self._latest: dict[str, Tensor] = {}  # the one that was decoded last, by its name
        self._progress = progress
        self._module: Any = native()
        self._threads = threads
        self._filling: Any = None
        self._jobs: list[Path] = []  # the file of each

    def __enter__(self) -> Self:
        self._filling = self._module.Filling(self._threads)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._await()
                self._reader.require_unchanged()
        finally:
            self._filling.stop()  # no file is closed before
            self._reader.close()

    def _await(self) -> None:
        """Return when every row is in its place."""
        told, over = 0, False
        while not over:
            over = self._filling.wait(LOOK)
            done = self._filling.done
            self._progress.advance(done - told)
            told = done
        if self._filling.failed is None:
            return
        job, error = self._filling.failed
        if error:
            raise NotFoundError(f"{self._jobs[job]}: cannot be read ({os.strerror(error)})")
        detail = "is shorter than its header promised; fetch it again"
        raise ModelFileError("E_TRUNCATED", detail, file=self._jobs[job])

    def matrix(self, matrix: Matrix) -> Any:
        """Return a packed matrix.

        Raises:
            TensorMismatchError: when the file's has another shape than the spec says.
        """
        parameter = self._wanted[matrix.name]
        stored = stored_rows(self._contents, self._assignments[matrix.name], matrix.name)
        integers = self._integers(matrix)
        readable = PLAIN_NUMBERS if integers else self._module.encodings()
        known = stored is not None and stored.encoding in readable
        exact = matrix.exact and stored is not None and stored.encoding != "F32"
        if stored is None or not known or exact or matrix.turned:
            return self._from_numbers(matrix, parameter)
        _require_shape(parameter, (*stored.rows.shape, stored.columns))
        rows = stored.rows if matrix.expert is None else stored.rows[matrix.expert]
        if integers:
            return self._from_rows(stored, rows.reshape(-1), integers)
        rounding = self._rounded and stored.encoding == "F32" and not matrix.exact
        return self._from_rows(stored, rows.reshape(-1), "BF16" if rounding else stored.encoding)

    def _integers(self, matrix: Matrix) -> str | None:
        """Return the encoding of a matrix that is to be packed as integers."""
        return None if matrix.exact or matrix.turned else self._grouped.get(matrix.name)

    def vector(self, name: str) -> Floats:
        """Return a small tensor in float32, flat.

        Raises:
            TensorMismatchError: as `matrix`.
        """
        assignment = self._assignments[name]
        read = [self._reader.numbers(self._contents.tensors[each]) for each in assignment.theirs]
        plain = [each for each in read if each is not None]
        if len(plain) < len(read):
            return np.ascontiguousarray(self._decoded(name).float().numpy().reshape(-1))
        found = forwards(assignment.steps, plain)[assignment.ours.index(name)]
        _require_shape(self._wanted[name], found.shape)
        return np.ascontiguousarray(found.reshape(-1), dtype=np.float32)

    def _from_rows(self, stored: StoredRows, rows: NDArray[np.int64], encoding: str) -> Any:
        packed = self._module.PackedMatrix(encoding, len(rows), stored.columns)
        for part in self._reader.parts(stored, rows):
            place = part.descriptor, part.info.offset
            self._filling.add(packed, stored.encoding, *place, part.rows, part.begin)
            self._jobs.append(part.info.file)
        return packed

    def _from_numbers(self, matrix: Matrix, parameter: Parameter) -> Any:
        """Pack a matrix that has to be decoded."""
        import torch

        if matrix.name not in self._latest:  # the maps of a stack follow one another
            self._latest = {matrix.name: self._decoded(matrix.name)}
        tensor = self._latest[matrix.name]
        _require_shape(parameter, tuple(tensor.shape))
        if matrix.expert is not None:
            tensor = tensor[matrix.expert]
        if matrix.turned:
            tensor = tensor.T
        width = 2 if self._rounded else self._stored_width(matrix.name)
        integers = self._integers(matrix)
        plain = "F32" if matrix.exact or integers else PLAIN[width]
        tensor = tensor.to(torch.float32 if plain == "F32" else torch.bfloat16).contiguous()
        rows, columns = tensor.shape
        packed = self._module.PackedMatrix(integers or plain, rows, columns)
        packed.pack_plain(plain, tensor.view(torch.uint8).numpy().reshape(-1))
        self._progress.advance(tensor.nbytes)
        return packed

    def _stored_width(self, name: str) -> int:
        """Return 4 for a tensor that is stored in float32, 2 for anything narrower."""
        theirs = [self._contents.tensors[each] for each in self._assignments[name].theirs]
        return 4 if any(each.encoding in ("F32", "F64") for each in theirs) else 2

    def _decoded(self, name: str) -> Tensor:
        """Return a parameter as the module would hold it, before any rounding of ours."""
        from fathom.checkpoint.tensors import Reader

        assignment = self._assignments[name]
        with Reader(self._contents) as reader:
            theirs = [reader.tensor(each) for each in assignment.theirs]
            return forwards(assignment.steps, theirs)[assignment.ours.index(name)].clone()


def read_back(matrices: Mapping[Matrix, Any], module: nn.Module) -> None:
    """Give a module's parameters the numbers that integers of a program stand for."""
    import torch

    integers = {encoding for roles in GROUPS.values() for encoding in roles.values()}
    for matrix, packed in matrices.items():
        if packed.encoding not in integers:
            continue
        values = torch.empty(packed.rows, packed.columns)
        packed.unpack(values.numpy())
        parameter = module.get_parameter(matrix.name)
        held = parameter if matrix.expert is None else parameter[matrix.expert]
        with torch.no_grad():
            held.copy_(values)


def _require_shape(parameter: Parameter, shape: tuple[int, ...]) -> None:
    if parameter.shape != shape:
        raise TensorMismatchError(
            f"the file gives '{parameter.name}' the shape {list(shape)}, but the configuration"
            f" says {list(parameter.shape)}"
        )
