"""Integers in groups: what plain numbers become while they are packed, by parameter role.

The layout is that of the kernels' Q8_0 and Q4_0: 32 columns share a scale in float16, 8.5 and 4.5
bits a weight. Groups of 64 would save a quarter of a bit and lose a tenth more of a weight
(`ops/kernels/grouping.cpp` has the figures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.description import Description
from fathom.checkpoint.encodings import ENCODINGS
from fathom.errors import RequestError, nearest
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
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

# Of what goes into heads, by our names: little where several queries share a key, and of
# SmolLM2-135M's divergence in four bits a third, for 3 % more bytes.
FINE = frozenset({"key", "value"})


def grouped_as(parameter: Parameter, quant: str) -> str | None:
    """Return the encoding in which `quant` packs a parameter's matrices; None where it does not.

    It does not if the role stays exact, or if the columns end within a group.

    Raises:
        RequestError: for an unknown name, with the nearest ones.
    """
    roles = _roles(quant)
    if len(parameter.shape) == 1 or parameter.shape[-1] % ENCODINGS["Q8_0"].block_elements:
        return None
    fine = parameter.role is Role.INTO_HEADS and not FINE.isdisjoint(parameter.name.split("."))
    return roles[Role.HEAD] if fine else roles.get(parameter.role)


def _roles(quant: str) -> Mapping[Role, str]:
    require_known(quant)
    return GROUPS[quant]


def require_known(quant: str) -> None:
    """Refuse a name that weights are not packed as.

    Raises:
        RequestError: with the nearest ones.
    """
    if quant not in GROUPS:
        raise RequestError(
            f"weights are not packed as '{quant[:60]}' while they are loaded; take"
            f" {' or '.join(GROUPS)}.{nearest(quant, GROUPS)}"
        )


def grouped(held: Iterable[Parameter], quant: str | None) -> Mapping[str, str]:
    """Return the encoding of each parameter that `quant` packs, by name; of none without it.

    Raises:
        RequestError: as `grouped_as`.
    """
    if quant is None:
        return {}
    chosen = {one.name: grouped_as(one, quant) for one in held}
    return {name: encoding for name, encoding in chosen.items() if encoding is not None}


def packs(description: Description, quant: str) -> bool:
    """Return whether opening can pack a checkpoint's weights as `quant`: they are plain numbers."""
    contents = description.contents
    return quant in GROUPS and contents is not None and _blocks_in(contents) is None


def require_packing(description: Description, quant: str, modules: str | None) -> None:
    """Refuse `quant` of a checkpoint that it is not for; `modules` is why it has no program.

    Raises:
        RequestError: for an unknown name, with the nearest ones, or what else stands against it.
    """
    require_known(quant)
    if modules is not None:
        raise RequestError(
            f"--quant {quant} packs the weights of a native program, and this model runs as"
            f" PyTorch modules, because {modules}; leave it out"
        )
    if not isinstance(description.spec, Decoder | Encoder):
        raise RequestError(f"--quant {quant} is for decoders and encoders; leave it out")
    assert description.contents is not None
    blocks = _blocks_in(description.contents)
    if blocks is not None:
        raise RequestError(
            f"--quant {quant} is for weights in plain numbers, and these are stored in {blocks};"
            " leave it out, or open the checkpoint that they were made from"
        )


def _blocks_in(contents: Contents) -> str | None:
    """Return an encoding of a checkpoint whose numbers lie in blocks; None if all are plain."""
    names = {tensor.encoding for tensor in contents.tensors.values()}
    return next((one for one in sorted(names) if ENCODINGS[one].block_elements > 1), None)
