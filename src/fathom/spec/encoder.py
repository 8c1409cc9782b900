"""A stack of layers in which every token sees every other: models that read and do not write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.decoder import Embedding, Layer
from fathom.spec.heads import Head
from fathom.spec.parts import Norm, Part


@dataclass(frozen=True)
class Encoder:
    """An encoder-only model. `context` is the number of positions that its publisher states.

    Without a head it gives hidden states: the ground of embeddings.
    """

    context: int
    embedding: Embedding
    layers: tuple[Layer, ...]
    norm: Norm | None = None
    head: Head | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "embedding": self.embedding,
            "layers": self.layers,
            "norm": self.norm,
            "head": self.head,
        }

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def width(self) -> int:
        return self.embedding.width

    @property
    def vocabulary(self) -> int:
        return self.embedding.vocabulary
