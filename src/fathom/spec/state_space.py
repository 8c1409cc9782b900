"""Recurrences: mixers whose memory of a sequence has one size, however long the sequence is.

All of them see a token through a short causal convolution, decay what they remember, add
something of the token, and read the result. They differ in what they remember:
`Mamba` a row of numbers per channel, `Mamba2` a matrix per head with one decay, `DeltaRule` a
matrix per head in which a key finds its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Bare, Linear, Norm, Part
from fathom.spec.roles import Role
from fathom.spec.state import StateArray


@dataclass(frozen=True)
class Convolution:
    """Each channel is a weighted sum of its own last `kernel` values, then an `activation`."""

    channels: int
    kernel: int
    bias: bool = True
    activation: Activation = "silu"

    def parts(self) -> Mapping[str, Part | None]:
        role = Role.STATE_SPACE
        return {
            "weight": Bare((self.channels, self.kernel), role),
            "bias": Bare((self.channels,), role) if self.bias else None,
        }

    @property
    def kept(self) -> StateArray:
        """The inputs that the next token's sum still needs."""
        return StateArray("convolution", (self.kernel - 1, self.channels))

    @property
    def operations_per_token(self) -> int:
        """Floating-point operations, a multiplication and an addition being two."""
        return 2 * self.kernel * self.channels


@dataclass(frozen=True)
class Mamba:
    """The selective state space (Gu & Dao, 2023, arXiv 2312.00752).

    Each of `inner` channels keeps `state_width` numbers. What is written, what is read and how
    much time passes depend on the token: ``h ← exp(Δ·A)·h + Δ·x·write``, ``y = h·read + skip·x``.
    Δ passes through `rank` numbers; Jamba and Falcon-Mamba norm those, and write and read.
    """

    width: int
    inner: int
    state_width: int
    rank: int
    convolution: Convolution
    bias: bool = False
    rank_norm: Norm | None = None
    write_norm: Norm | None = None
    read_norm: Norm | None = None

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "value": Linear(self.width, self.inner, Role.INTO_INNER, self.bias),
            "gate": Linear(self.width, self.inner, Role.INTO_INNER, self.bias),
            "convolution": self.convolution,
            "rank": Linear(self.inner, self.rank, Role.DENSE),
            "write": Linear(self.inner, self.state_width, Role.DENSE),
            "read": Linear(self.inner, self.state_width, Role.DENSE),
            "rank_norm": self.rank_norm,
            "write_norm": self.write_norm,
            "read_norm": self.read_norm,
            "time_step": Linear(self.rank, self.inner, Role.DENSE),
            "time_step_bias": Bare((self.inner,), Role.STATE_SPACE),
            "decay": Bare((self.inner, self.state_width), Role.STATE_SPACE),
            "skip": Bare((self.inner,), Role.STATE_SPACE),
            "output": Linear(self.inner, self.width, Role.OUT_OF_INNER, self.bias),
        }

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What one sequence leaves behind, whatever its length."""
        shape = (self.inner, self.state_width)
        return self.convolution.kept, StateArray("memory", shape, exact=True)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the linear maps.

        Per number remembered: its decay (2), decaying (1), writing (2), reading (2).
        """
        return self.convolution.operations_per_token + 7 * self.inner * self.state_width


@dataclass(frozen=True)
class Mamba2:
    """State-space duality (Dao & Gu, 2024, arXiv 2405.21060).

    Each head keeps a `head_width` × `state_width` matrix that decays as a whole; `groups` of
    heads share what is written and read. Δ is held within `time_step_limit`, where there is one.
    The result is gated, then normed.
    """

    width: int
    heads: int
    head_width: int
    groups: int
    state_width: int
    convolution: Convolution
    norm: Norm
    bias: bool = False
    time_step_limit: tuple[float, float | None] = (0.0, None)

    @property
    def inner(self) -> int:
        return self.heads * self.head_width

    def parts(self) -> Mapping[str, Part | None]:
        into, state = Role.INTO_INNER, self.groups * self.state_width
        return {
            "gate": Linear(self.width, self.inner, into, self.bias),
            "value": Linear(self.width, self.inner, into, self.bias),
            "write": Linear(self.width, state, Role.DENSE, self.bias),
            "read": Linear(self.width, state, Role.DENSE, self.bias),
            "time_step": Linear(self.width, self.heads, Role.DENSE, self.bias),
            "convolution": self.convolution,  # over value, write and read
            "time_step_bias": Bare((self.heads,), Role.STATE_SPACE),
            "decay": Bare((self.heads,), Role.STATE_SPACE),
            "skip": Bare((self.heads,), Role.STATE_SPACE),
            "norm": self.norm,
            "output": Linear(self.inner, self.width, Role.OUT_OF_INNER, self.bias),
        }

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What one sequence leaves behind, whatever its length."""
        shape = (self.heads, self.head_width, self.state_width)
        return self.convolution.kept, StateArray("memory", shape, exact=True)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the linear maps.

        Per number remembered: decaying (1), writing (2), reading (2).
        """
        return self.convolution.operations_per_token + 5 * self.inner * self.state_width


@dataclass(frozen=True)
class DeltaRule:
    """The gated delta rule (Yang et al., 2024, arXiv 2412.06464).

    Each head keeps a matrix in which a key finds a value. A token first lets it decay, then
    replaces what its key finds by a share of its own value, and reads with its query. Key heads
    are shared by groups of value heads. The result is normed per head, then gated.
    """

    width: int
    key_heads: int
    key_width: int
    value_heads: int
    value_width: int
    convolution: Convolution
    norm: Norm

    def parts(self) -> Mapping[str, Part | None]:
        into, out = Role.INTO_HEADS, Role.OUT_OF_HEADS
        keys, values = self.key_heads * self.key_width, self.value_heads * self.value_width
        return {
            "query": Linear(self.width, keys, into),
            "key": Linear(self.width, keys, into),
            "value": Linear(self.width, values, into),
            "gate": Linear(self.width, values, into),
            "share": Linear(self.width, self.value_heads, into),
            "time_step": Linear(self.width, self.value_heads, into),
            "convolution": self.convolution,  # over query, key and value
            "time_step_bias": Bare((self.value_heads,), Role.STATE_SPACE),
            "decay": Bare((self.value_heads,), Role.STATE_SPACE),
            "norm": self.norm,
            "output": Linear(values, self.width, out),
        }

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What one sequence leaves behind, whatever its length."""
        shape = (self.value_heads, self.key_width, self.value_width)
        return self.convolution.kept, StateArray("memory", shape, exact=True)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the linear maps.

        Per number remembered: decaying (1), finding (2), replacing (2), reading (2).
        """
        remembered = self.value_heads * self.key_width * self.value_width
        return self.convolution.operations_per_token + 7 * remembered


Recurrence: TypeAlias = Mamba | Mamba2 | DeltaRule
