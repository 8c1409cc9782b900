"""The last steps of an embedding model, loaded from files of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fathom.blocks.build import build
from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.tensors import Reader
from fathom.errors import TensorMismatchError
from fathom.spec.parts import parameters
from fathom.spec.vector import TextVector


def load_vector(
    spec: TextVector, files: Sequence[Path], device: torch.device | str = "cpu"
) -> nn.Module:
    """Return the module that makes vectors of hidden states; `files` hold its projections.

    Raises:
        TensorMismatchError: when a tensor is missing or has another shape than the spec says.
    """
    module = build(spec)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{spec} is no module")
    for index, file in enumerate(files):
        with Reader(read_headers(file)) as reader:
            wanted = {one.name: one.shape for one in parameters(spec.projections[index])}
            for path, shape in wanted.items():
                name = path.removeprefix("linear.")
                tensor = reader.tensor(f"linear.{name}", torch.float32).clone()
                if tuple(tensor.shape) != shape:
                    raise TensorMismatchError(
                        f"{file}: 'linear.{name}' has the shape {list(tensor.shape)}, but the"
                        f" configuration beside it says {list(shape)}"
                    )
                linear = module.get_submodule(f"projections.{index}.linear")
                setattr(linear, name, nn.Parameter(tensor, requires_grad=False))
    return module.to(device).eval()


def load_projections(
    spec: TextVector, files: Sequence[Path]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return what maps pooled vectors, (texts, …) to (texts, vector width), for a native program.

    Raises:
        TensorMismatchError: as `load_vector`.
    """
    projections = load_vector(spec, files).get_submodule("projections")
    assert isinstance(projections, nn.ModuleList)  # as its spec has it

    def project(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = torch.from_numpy(pooled)
            for projection in projections:
                found = projection(found)
        mapped: NDArray[np.float32] = found.numpy()
        return mapped

    return project
