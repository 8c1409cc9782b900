"""Integers in groups: what plain numbers become while they are packed, by parameter role.

The layout is that of the kernels' Q8_0 and Q4_0: 32 columns share a scale in float16, 8.5 and 4.5
bits a weight. Groups of 64 would save a quarter of a bit and lose a tenth more of a weight
(`ops/kernels/grouping.cpp` has the figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fathom.checkpoint.encodings import ENCODINGS
from fathom.errors import RequestError, nearest
from fathom.spec.parts import Parameter
from fathom.spec.roles import Role

# Scores are read off the table where it is tied, and every one of them counts: eight bits.
GROUPS: Mapping[str, Mapping[Role, str]] = {
    name: {
        Role.EMBEDDING: "Q8_0",
        Role.HEAD: "Q8_0",
        **dict.fromkeys(
            (
                Role.INTO_HEADS,
                Role.OUT_OF_HEADS,
                Role.INTO_INNER,
                Role.OUT_OF_INNER,
                Role.DENSE,
            ),
            inner,
        ),
    }
    for name, inner in (("int8", "Q8_0"), ("int4", "Q4_0"))
}


def grouped(held: Iterable[Parameter], quant: str | None) -> Mapping[str, str]:
    """Return the encoding of each matrix that `quant` makes integers of, by parameter name.

    None asks for none. A matrix is not among them if its role stays exact or its columns end
    within a group.

    Raises:
        RequestError: for an unknown name.
    """
    if quant is None:
        return {}
    roles = GROUPS.get(quant)
    if roles is None:
        raise RequestError(
            f"weights cannot be packed as '{quant[:60]}' while they are loaded; take"
            f" {' or '.join(GROUPS)}.{nearest(quant, GROUPS)}"
        )
    found = {one.name: roles.get(one.role) for one in held if len(one.shape) > 1 and _fits(one)}
    return {name: encoding for name, encoding in found.items() if encoding is not None}


def _fits(parameter: Parameter) -> bool:
    return parameter.shape[-1] % ENCODINGS["Q8_0"].block_elements == 0
