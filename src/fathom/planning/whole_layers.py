"""Whether layers of what sees or hears run whole on native kernels: the decision's one home."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from fathom.planning.costs import BYTES, EXACT_BYTES
from fathom.planning.kernels import kernels, why_none
from fathom.programs.lowering_whole import HOSTS, whole_layers, why_no_plan
from fathom.spec.decoder import Layer
from fathom.spec.grid import GridLayer
from fathom.spec.model import Model
from fathom.spec.parts import Compound, Part, walk
from fathom.spec.whole import WholeGridLayer, WholeLayer
from fathom.spec.work import Staged

# What a kernel has to have to be quicker than PyTorch's products, by the type that is computed in.
WANTED = {"float32": "avx512", "bfloat16": "avx512-vnni-bf16"}


S = TypeVar("S", bound=Staged)


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
    missing = why_none()
    if missing is not None:
        return missing
    wanted, (name, _) = WANTED.get(dtype), kernels()
    if wanted is None or not name.startswith(wanted):
        return f"the native kernels here, {name}, are no quicker in {dtype}"
    if next(whole_layers(spec), None) is None:
        return "no kernel runs a layer of it whole"
    return None


def as_run(spec: S, *, device: str, dtype: str, adapted: bool = False) -> S:
    """Return the spec of what runs: with whole layers where they run so, else as it is."""
    if why_plain(spec, device=device, dtype=dtype, adapted=adapted) is not None:
        return spec
    return with_whole(spec, dtype)


def with_whole(spec: S, dtype: str) -> S:
    """Return a spec with every layer whole that a kernel could run so, wherever that is."""
    return cast("S", _with_whole(spec, EXACT_BYTES // BYTES[dtype]))


def _with_whole(part: object, exact: int) -> object:
    """Return a part in which every layer that runs whole is one that says so."""
    if isinstance(part, HOSTS):
        layers: Sequence[Layer | GridLayer] = part.layers
        host: Any = part  # replaced by one of its own kind
        return replace(host, layers=tuple(_whole(layer, exact) for layer in layers))
    if isinstance(part, tuple):
        return tuple(_with_whole(one, exact) for one in part)
    if not is_dataclass(part) or isinstance(part, type) or not isinstance(part, Compound):
        return part
    found = {field.name: getattr(part, field.name) for field in fields(part)}
    made = {name: _with_whole(value, exact) for name, value in found.items()}
    changed = {name: value for name, value in made.items() if value != found[name]}
    return replace(part, **changed) if changed else part


def _whole(layer: Layer | GridLayer, exact: int) -> Layer | GridLayer:
    if why_no_plan(layer) is not None:
        return layer
    kind = WholeLayer if isinstance(layer, Layer) else WholeGridLayer
    return kind(**{field.name: getattr(layer, field.name) for field in fields(layer)}, exact=exact)


def whole_parts(part: Part) -> Iterator[WholeLayer | WholeGridLayer]:
    """Yield the layers below a part that say that they run whole."""
    yield from (one for one in walk(part) if isinstance(one, WholeLayer | WholeGridLayer))
