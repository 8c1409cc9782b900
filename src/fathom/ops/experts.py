"""The feed-forwards of chosen experts, weighted and added.

Shapes: x (tokens, width), chosen (tokens, active) int64, weights (tokens, active) float32; the
result is (tokens, width). Sums over experts are taken in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import Operation, Variant


@dataclass(frozen=True)
class Bank:
    """The weights of all experts, and how gate and up become one.

    `gate` and `up` are (experts, inner, width), `down` is (experts, width, inner); biases are
    (experts, inner) and (experts, width). With `weigh_input` the router's weight multiplies
    what enters an expert, otherwise what leaves it.
    """

    gate: Tensor
    up: Tensor
    down: Tensor
    combine: Callable[[Tensor, Tensor], Tensor]
    gate_bias: Tensor | None = None
    up_bias: Tensor | None = None
    down_bias: Tensor | None = None
    weigh_input: bool = False


def clamped_swish(gate: Tensor, up: Tensor, alpha: float, limit: float) -> Tensor:
    """``(up + 1) · gate · sigmoid(alpha · gate)``, bounded (gpt-oss, arXiv 2508.10925)."""
    gate = gate.clamp(max=limit)
    return (up.clamp(-limit, limit) + 1) * gate * torch.sigmoid(alpha * gate)


def reference(x: Tensor, chosen: Tensor, weights: Tensor, bank: Bank) -> Tensor:
    """The definition: every token gathers the weights of its own experts."""

    def through(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(tokens, active, inputs) → (tokens, active, outputs)."""
        mapped = torch.einsum("tai,taoi->tao", values, weight[chosen])
        return mapped if bias is None else mapped + bias[chosen]

    factor = weights[..., None].to(x.dtype)
    entering = x[:, None, :].expand(-1, chosen.shape[1], -1)
    if bank.weigh_input:
        entering = entering * factor
    gate = through(entering, bank.gate, bank.gate_bias)
    up = through(entering, bank.up, bank.up_bias)
    result = through(bank.combine(gate, up), bank.down, bank.down_bias).float()
    if not bank.weigh_input:
        result = result * weights[..., None]
    return result.sum(dim=1).to(x.dtype)


def _one_by_one(x: Tensor, chosen: Tensor, weights: Tensor, bank: Bank) -> Tensor:
    """Each expert that was chosen at all reads its weights once, for all of its tokens."""
    total = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    order = chosen.flatten().argsort(stable=True)
    counts = chosen.flatten().bincount(minlength=bank.gate.shape[0]).tolist()
    begin = 0
    for expert, count in enumerate(counts):
        if count == 0:
            continue
        places = order[begin : begin + count]
        begin += count
        tokens = places // chosen.shape[1]
        if _prepared(x):  # the first place once more, as often as it takes; dropped again below
            places = functional.pad(places, (0, padded_rows(count) - count))
        weight = weights.flatten()[places, None]
        result = _one(x[places // chosen.shape[1]], weight, bank, expert)
        total.index_add_(0, tokens, result[:count])
    return total.to(x.dtype)


def padded_rows(count: int) -> int:
    """Return the rows that a product is done with: each count to 8, then four to a doubling.

    oneDNN prepares code for each number of rows and keeps it, three quarters of a megabyte a
    piece. Experts meet any number, and a long text would leave hundreds of megabytes behind.
    """
    step = 1 << max(0, (count - 1).bit_length() - 3)
    return -(-count // step) * step


def _prepared(x: Tensor) -> bool:
    """Whether products of this type go to oneDNN, on processors."""
    return x.device.type == "cpu" and x.dtype is torch.bfloat16


def _one(x: Tensor, weight: Tensor, bank: Bank, expert: int) -> Tensor:
    """One expert over the tokens that chose it, (tokens, width) → (tokens, width) float32."""

    def row(bias: Tensor | None) -> Tensor | None:
        return None if bias is None else bias[expert]

    entering = x * weight.to(x.dtype) if bank.weigh_input else x
    gate = functional.linear(entering, bank.gate[expert], row(bank.gate_bias))
    up = functional.linear(entering, bank.up[expert], row(bank.up_bias))
    inner = bank.combine(gate, up)
    result = functional.linear(inner, bank.down[expert], row(bank.down_bias)).float()
    return result if bank.weigh_input else result * weight


def _never(x: Tensor, chosen: Tensor, weights: Tensor, bank: Bank) -> None:
    return None


experts = Operation("experts", reference, [Variant("one by one", _one_by_one, _never)])
