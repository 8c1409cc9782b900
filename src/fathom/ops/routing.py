"""Choosing experts: from a score per expert to the chosen ones and their weights, in float32.

Scores are (tokens, experts); results are the chosen experts, (tokens, active) int64, best first
where an order is defined, and their weights, (tokens, active) float32.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def best(
    scores: Tensor,
    active: int,
    *,
    scoring: Literal["softmax", "sigmoid"] = "softmax",
    renormalise: bool = False,
    floor: float = 0.0,
    correction: Tensor | None = None,
    groups: tuple[int, int, int] | None = None,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Choose the `active` experts of most weight (Shazeer et al., 2017, arXiv 1701.06538).

    `correction` (experts,) takes part in the choice only. `groups` is (count, active, best):
    only experts of the best groups are eligible (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
    """
    scores = scores.float()
    weights = scores.softmax(dim=-1) if scoring == "softmax" else scores.sigmoid()
    ranks = weights if correction is None else weights + correction
    if groups is not None:
        ranks = ranks.masked_fill(~_eligible(ranks, *groups), float("-inf"))
    chosen = ranks.topk(active, dim=-1).indices
    kept = weights.gather(-1, chosen)
    if renormalise:
        kept = kept / kept.sum(dim=-1, keepdim=True).clamp(min=floor)
    return chosen, kept * scale


def _eligible(ranks: Tensor, count: int, active: int, counted: int) -> Tensor:
    """Return which experts belong to the best groups, (tokens, experts)."""
    grouped = ranks.unflatten(-1, (count, -1))
    worth = grouped.topk(counted, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth, dtype=torch.bool)
    kept.scatter_(-1, worth.topk(active, dim=-1).indices, True)
    return kept[..., None].expand_as(grouped).flatten(-2)


def sparse_mixer(scores: Tensor, active: int, jitter: float) -> tuple[Tensor, Tensor]:
    """Choose one expert after the other; each is weighed against its near rivals alone.

    A rival is far when ``(best - score) / max(|score|, best) > 2 · jitter``. The first choice
    is out of the running for the second (Liu et al., 2024, arXiv 2409.12136, at inference).
    """
    scores = scores.float()
    running = scores
    chosen, weights = [], []
    for _ in range(active):
        top, index = running.max(dim=-1, keepdim=True)
        far = (top - scores) / scores.abs().clamp(min=top) > 2 * jitter
        near = running.masked_fill(far, float("-inf")).softmax(dim=-1)
        chosen.append(index)
        weights.append(near.gather(-1, index))
        running = running.scatter(-1, index, float("-inf"))
    return torch.cat(chosen, dim=-1), torch.cat(weights, dim=-1)
