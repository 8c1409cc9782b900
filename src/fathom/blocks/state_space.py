"""Recurrences, as their specs describe them.

Whatever the type of the weights, what is remembered and what decays it stay in float32: an error
there would grow with every token. Padding has a time step of zero, which changes no memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fathom.blocks.bricks import Linear, Norm
from fathom.blocks.build import Block
from fathom.blocks.state import MixerState, Step
from fathom.ops.activation import ACTIVATIONS
from fathom.ops.convolution import causal_convolution
from fathom.ops.delta_rule import delta_rule, unit
from fathom.ops.selective_scan import selective_scan
from fathom.ops.state_space_duality import state_space_duality
from fathom.spec import state_space as spec
from fathom.spec.state import StateArray


def recalled(state: MixerState, array: StateArray, x: Tensor) -> Tensor:
    """Return an array as the last step left it, (batch, …); zeros at the start of a sequence."""
    found = state.recall(array.name)
    if found is not None:
        return found
    dtype = torch.float32 if array.exact else x.dtype
    return x.new_zeros(x.shape[0], *array.shape, dtype=dtype)


def _passed(time_step: Tensor, step: Step) -> Tensor:
    """Return time steps (batch, length, n) with none at padding."""
    return time_step if step.real is None else time_step * step.real[..., None]


class Convolution(Block):
    """A causal convolution over (batch, length, channels) and its activation."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, described: spec.Convolution) -> None:
        super().__init__(described)
        self.kept = described.kept
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        before = recalled(state, self.kept, x)
        result, after = causal_convolution(x, self.weight, self.bias, before, step.real)
        state.remember(self.kept.name, after)
        return self.activation(result).to(x.dtype)


class Mamba(Block):
    """Project, convolve, scan, gate, project back. Input and result are (batch, length, width)."""

    value: Linear
    gate: Linear
    convolution: Convolution
    rank: Linear
    write: Linear
    read: Linear
    rank_norm: Norm | None
    write_norm: Norm | None
    read_norm: Norm | None
    time_step: Linear
    time_step_bias: Tensor
    decay: Tensor
    skip: Tensor
    output: Linear

    def __init__(self, described: spec.Mamba) -> None:
        super().__init__(described)
        _, self.memory = described.state(0)

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        gate = functional.silu(self.gate(x))
        value = self.convolution(self.value(x), step, state)
        rank, write, read = self.rank(value), self.write(value), self.read(value)
        rank = rank if self.rank_norm is None else self.rank_norm(rank)
        write = write if self.write_norm is None else self.write_norm(write)
        read = read if self.read_norm is None else self.read_norm(read)
        time_step = functional.softplus(self.time_step(rank).float() + self.time_step_bias)
        mixed, memory = selective_scan(
            value.float(),
            _passed(time_step, step),
            -self.decay.exp(),
            write.float(),
            read.float(),
            recalled(state, self.memory, x),
        )
        state.remember(self.memory.name, memory)
        mixed = (mixed + self.skip * value) * gate
        return self.output(mixed.to(x.dtype))


class Mamba2(Block):
    """Project, convolve, scan, gate, norm, project back: (batch, length, width) to the same."""

    gate: Linear
    value: Linear
    write: Linear
    read: Linear
    time_step: Linear
    convolution: Convolution
    time_step_bias: Tensor
    decay: Tensor
    skip: Tensor
    norm: Norm
    output: Linear

    def __init__(self, described: spec.Mamba2) -> None:
        super().__init__(described)
        self.spec = described
        _, self.memory = described.state(0)

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        value, write, read = self._convolved(x, step, state)
        time_step = functional.softplus(self.time_step(x).float() + self.time_step_bias)
        time_step = time_step.clamp(*self.spec.time_step_limit)
        mixed, memory = state_space_duality(
            value,
            _passed(time_step, step),
            -self.decay.exp(),
            write,
            read,
            recalled(state, self.memory, x),
        )
        state.remember(self.memory.name, memory)
        mixed = (mixed + self.skip[:, None] * value).flatten(2)
        mixed = self.norm(mixed * functional.silu(self.gate(x).float()))
        return self.output(mixed.to(x.dtype))

    def _convolved(self, x: Tensor, step: Step, state: MixerState) -> tuple[Tensor, ...]:
        """Return value (batch, length, heads, head_width), write and read (…, groups, state)."""
        spec = self.spec
        joined = torch.cat((self.value(x), self.write(x), self.read(x)), dim=-1)
        joined = self.convolution(joined, step, state).float()
        shared = spec.groups * spec.state_width
        value, write, read = joined.split((spec.inner, shared, shared), dim=-1)
        return (
            value.unflatten(-1, (spec.heads, spec.head_width)),
            write.unflatten(-1, (spec.groups, spec.state_width)),
            read.unflatten(-1, (spec.groups, spec.state_width)),
        )


class DeltaRule(Block):
    """Project, convolve, correct the memory and read it, norm, gate, project back.

    Input and result are (batch, length, width).
    """

    query: Linear
    key: Linear
    value: Linear
    gate: Linear
    share: Linear
    time_step: Linear
    convolution: Convolution
    time_step_bias: Tensor
    decay: Tensor
    norm: Norm
    output: Linear

    def __init__(self, described: spec.DeltaRule) -> None:
        super().__init__(described)
        self.spec = described
        _, self.memory = described.state(0)

    def forward(self, x: Tensor, step: Step, state: MixerState) -> Tensor:
        query, key, value = self._convolved(x, step, state)
        time_step = functional.softplus(self.time_step(x).float() + self.time_step_bias)
        rate = _passed(-self.decay.exp() * time_step, step)
        share = _passed(self.share(x).float().sigmoid(), step)
        mixed, memory = delta_rule(
            query,
            key,
            value,
            rate.transpose(1, 2),
            share.transpose(1, 2),
            recalled(state, self.memory, x),
        )
        state.remember(self.memory.name, memory)
        mixed = self.norm(mixed.transpose(1, 2)).flatten(2)  # normed head by head
        mixed = mixed * functional.silu(self.gate(x).float())
        return self.output(mixed.to(x.dtype))

    def _convolved(self, x: Tensor, step: Step, state: MixerState) -> tuple[Tensor, ...]:
        """Return query, key and value, (batch, value_heads, length, …), in float32."""
        spec = self.spec
        joined = torch.cat((self.query(x), self.key(x), self.value(x)), dim=-1)
        joined = self.convolution(joined, step, state).float()
        keys, values = spec.key_heads * spec.key_width, spec.value_heads * spec.value_width
        query, key, value = joined.split((keys, keys, values), dim=-1)
        query, key = (
            unit(t.unflatten(-1, (spec.key_heads, spec.key_width)))
            .repeat_interleave(spec.value_heads // spec.key_heads, dim=2)
            .transpose(1, 2)
            for t in (query, key)
        )
        value = value.unflatten(-1, (spec.value_heads, spec.value_width)).transpose(1, 2)
        return query * spec.key_width**-0.5, key, value
