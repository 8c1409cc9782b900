"""Layers of parts that see or hear packed for the native kernels, once their weights are there."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from fathom.blocks.whole_layers import packed
from fathom.programs.lowering_whole import whole_layers
from fathom.spec.model import Model


def pack_layers(model: nn.Module, spec: Model) -> Iterator[str]:
    """Put packed layers in the place of modules; yield the path of each, whose weights are gone.

    Beside the model no more than one layer's weights are in memory twice.
    """
    for path, layer in whole_layers(spec):
        holder, _, name = path.rpartition(".")
        listed = model.get_submodule(holder)
        setattr(listed, name, packed(listed.get_submodule(name), layer).eval())
        yield path
