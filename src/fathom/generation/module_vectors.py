"""Vectors of texts by modules of PyTorch: the definition, on any device, in padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fathom.generation.reading import Batch, Reading, batches
from fathom.models.encoder import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ModuleVectors:
    """A model that gives hidden states, and what makes one vector of those of a text."""

    def __init__(self, model: nn.Module, vector: nn.Module) -> None:
        self.model = model
        self.vector = vector
        self.device = next(model.parameters()).device

    def vectors(
        self, readings: Sequence[Reading], skipped: int, normalise: bool | None, batch: int
    ) -> NDArray[np.float32]:
        """Return (texts, width) float32; the first `skipped` tokens are not pooled."""
        found: list[Tensor | None] = [None] * len(readings)
        for one in batches(readings, batch, self.device):
            for row, vector in zip(one.rows, self._vectors(one, skipped, normalise), strict=True):
                found[row] = vector
        return np.stack([vector.numpy() for vector in found if vector is not None])

    @torch.inference_mode()
    def _vectors(self, one: Batch, skipped: int, normalise: bool | None) -> Tensor:
        """(batch, width) float32 on the processor."""
        types = {"types": one.types} if isinstance(self.model, Encoder) else {}
        hidden = self.model.hidden(one.tokens, step=one.step, **types)  # type: ignore[operator]
        positions = one.step.positions
        if skipped:
            positions = torch.where(positions < skipped, -1, positions)
        vectors: Tensor = self.vector(hidden, positions, normalise=normalise)
        return vectors.cpu()
