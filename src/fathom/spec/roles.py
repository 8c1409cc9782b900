"""What a parameter is for. Said once, over our own names.

Sharding, quantising, streaming, adapters and the memory plan act on roles from outside;
none of them needs to know an architecture or a publisher's spelling.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The place of a parameter in the arithmetic; the comment says how it would be sharded."""

    EMBEDDING = "embedding"  # a row per token or position: split by rows
    INTO_HEADS = "into heads"  # query, key, value: split by outputs, whole heads together
    OUT_OF_HEADS = "out of heads"  # attention output: split by inputs, results added
    INTO_INNER = "into inner"  # gate and up: split by outputs
    OUT_OF_INNER = "out of inner"  # down: split by inputs, results added
    ROUTER = "router"  # scores the experts: replicated
    NORM = "norm"  # replicated
    STATE_SPACE = "state space"  # parameters of a recurrence, a row per channel or head
    DENSE = "dense"  # a projection that no rule above splits: replicated
    CONVOLUTION = "convolution"  # a kernel over time or space: split by outputs
    HEAD = "head"  # hidden state → vocabulary or labels: split by outputs


# Small, and sensitive to rounding: kept in float32 whatever the type of the other weights.
EXACT = frozenset({Role.NORM, Role.STATE_SPACE, Role.ROUTER})
