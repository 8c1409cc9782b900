"""Weights as they would lie in memory or on disk: in a type, in one encoding, or in a usual mix.

The names of mixes are those under which GGUF files are published. Which tensors get the finer of
two encodings is as llama.cpp's quantiser chooses for a Llama (`llama_tensor_get_type`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from fathom.checkpoint.encodings import ENCODINGS
from fathom.errors import RequestError, nearest
from fathom.planning.costs import (
    BYTES,
    Storage,
    computed_in,
    tied_outputs,
    weight_bytes,
)
from fathom.planning.grouping import GROUPS, grouped_as
from fathom.spec.model import TextModel, Writing
from fathom.spec.parts import Parameter, Part, children, parameters
from fathom.spec.roles import EXACT, Role


@dataclass(frozen=True)
class Mix:
    """Most matrices in `most`; values and downs of some layers, and the output, in `finer`."""

    most: str
    finer: str


MIXES: Mapping[str, Mix] = {
    "Q4_K_M": Mix("Q4_K", "Q6_K"),
    "Q5_K_M": Mix("Q5_K", "Q6_K"),
    "Q4_K_S": Mix("Q4_K", "Q4_K"),
    "Q5_K_S": Mix("Q5_K", "Q5_K"),
}
PLAIN_TYPES: Mapping[str, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
FROM_LARGE_TO_SMALL = ("bfloat16", "int8", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "int4", "Q4_0")
_LAYER = re.compile(r"layers\.(\d+)\.(?:mixer\.value|feed_forward\.(?:experts\.)?down)\.weight$")


def stored_as(spec: TextModel, name: str) -> Storage:
    """Return bytes per number of each parameter under a name: a type, encoding, mix or group.

    Raises:
        RequestError: for a name that is none of these, with the nearest ones.
    """
    if name in BYTES:
        return computed_in(name)
    chosen = stored_encoding(spec, name)

    def each(parameter: Parameter) -> float:
        encoding = ENCODINGS[chosen(parameter)]
        return encoding.block_bytes / encoding.block_elements

    return each


def stored_encoding(
    spec: TextModel | Writing, name: str, finer: Sequence[bool] | None = None
) -> Callable[[Parameter], str]:
    """Return the encoding of each parameter stored under a name: a type, encoding, mix or group.

    `finer` says of each layer whether a mix is finer there; by default as of a whole model.

    Raises:
        RequestError: for a name that is none of these, with the nearest ones.
    """
    if name.lower() in GROUPS:
        return lambda parameter: (
            "F32" if _exact(parameter) else grouped_as(parameter, name.lower()) or "F16"
        )
    mix = MIXES.get(name.upper()) or _single(PLAIN_TYPES.get(name, name))
    layers = len(spec.layers)
    fine_layers = [is_finer(index, layers) for index in range(layers)] if finer is None else finer
    tied = any(tied_outputs(spec))

    def each(parameter: Parameter) -> str:
        if _exact(parameter):
            return "F32"
        fine = _scores(parameter, tied) or _in_finer_layer(parameter.name, fine_layers)
        chosen = mix.finer if fine else mix.most
        if parameter.shape[-1] % ENCODINGS[chosen].block_elements:  # rows that no block divides
            return "F16"
        return chosen

    return each


def stored_bytes(spec: TextModel, name: str) -> int:
    """Return the bytes of all parameters stored under a name.

    Layers alike in kind and in encodings are counted once: a deep stack has few sorts of them.
    """
    storage, layers = stored_as(spec, name), len(spec.layers)
    beside = dict(children(spec))
    alike: dict[tuple[Part, bool], list[str]] = {}
    for index, layer in children(beside.pop("layers", ())):
        alike.setdefault((layer, is_finer(int(index), layers)), []).append(index)
    return sum(weight_bytes(part, storage, place) for place, part in beside.items()) + sum(
        len(indices) * weight_bytes(layer, storage, f"layers.{indices[0]}")
        for (layer, _), indices in alike.items()
    )


def bits_per_weight(spec: TextModel, name: str) -> float:
    """Return the stored bits per parameter, the mean over the whole model."""
    storage = stored_as(spec, name)
    held = [(one.elements, storage(one)) for one in parameters(spec)]
    return 8 * sum(count * each for count, each in held) / sum(count for count, _ in held)


def known_names() -> tuple[str, ...]:
    """Return every name that `stored_as` takes."""
    return (
        *BYTES,
        *MIXES,
        *GROUPS,
        *(name for name, one in ENCODINGS.items() if _holds_weights(name)),
    )


def _single(name: str) -> Mix:
    wanted = name.upper()
    if wanted not in ENCODINGS or not _holds_weights(wanted):
        raise RequestError(
            f"weights cannot be counted in '{name[:60]}'.{nearest(name.upper(), known_names())}"
            f" Known are {', '.join((*BYTES, *MIXES, *GROUPS))} and the encodings of safetensors"
            " and GGUF"
        )
    return Mix(wanted, "Q6_K" if wanted == "Q4_0" else wanted)


def _holds_weights(name: str) -> bool:
    return not name.startswith(("I8", "I16", "I32", "I64", "U", "BOOL", "C64", "F8_E8M0"))


def _exact(parameter: Parameter) -> bool:
    return parameter.role in EXACT or len(parameter.shape) == 1


def _scores(parameter: Parameter, tied: bool) -> bool:
    """An output of its own, or the table that a tied output reads."""
    table = tied and parameter.name.endswith("embedding.tokens.weight")
    return parameter.role is Role.HEAD or table


def _in_finer_layer(name: str, finer: Sequence[bool]) -> bool:
    found = _LAYER.search(name)
    return found is not None and finer[int(found[1])]


def is_finer(layer: int, layers: int) -> bool:
    """Return whether a mix is finer in a layer: the first and last eighth, every third between."""
    eighth = ceil(layers / 8)
    return layer < eighth or layer >= layers - eighth or (layer - eighth) % 3 == 2
