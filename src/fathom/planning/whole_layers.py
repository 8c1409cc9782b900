"""Whether layers of what sees or hears run whole on native kernels: the decision's one home."""

from __future__ import annotations

import os

from fathom.blocks.lowering_whole import whole_layers
from fathom.ops.native import native
from fathom.spec.model import Model
from fathom.spec.work import Staged

# What a kernel has to have to be quicker than PyTorch's products, by the type that is computed in.
WANTED = {"float32": "avx512", "bfloat16": "avx512-vnni-bf16"}


def why_plain(spec: Model, *, device: str, dtype: str, adapted: bool = False) -> str | None:
    """Return why no layer of a model runs whole; None where some do."""
    if not isinstance(spec, Staged):
        return "it has no part that sees or hears"
    if os.environ.get("FATHOM_VARIANT") == "reference":
        return "FATHOM_VARIANT asks for the reference"
    if device != "cpu":
        return f"it is on {device}"
    if adapted:
        return "an adapter is on it"
    module = native()
    if isinstance(module, str):
        return module
    wanted, (name, _) = WANTED.get(dtype), module.best()
    if wanted is None or not name.startswith(wanted):
        return f"the native kernels here, {name}, are no quicker in {dtype}"
    if next(whole_layers(spec), None) is None:
        return "no kernel runs a layer of it whole"
    return None
