"""The selective scan (Gu & Dao, 2023, arXiv 2312.00752, algorithm 2), in float32.

Shapes: `x` and `time_step` (batch, length, inner), `decay` (inner, state_width) below zero,
`write` and `read` (batch, length, state_width), `memory` (batch, inner, state_width). The results
are y (batch, length, inner) and the memory after the last token. A token whose time step is zero
leaves the memory as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.ops.choose import Operation, Variant

CHUNK = 32  # tokens whose decays are worked out at once: inner × state_width × 8 bytes for each


def reference(
    x: Tensor, time_step: Tensor, decay: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """``h ← exp(Δ·A)·h + Δ·x·write``, ``y = h·read``, token by token."""
    result = []
    for t in range(x.shape[1]):
        delta = time_step[:, t, :, None]
        new = delta * x[:, t, :, None] * write[:, t, None, :]
        memory = torch.exp(delta * decay) * memory + new
        result.append((memory @ read[:, t, :, None]).squeeze(-1))
    return torch.stack(result, dim=1), memory


def _chunked(
    x: Tensor, time_step: Tensor, decay: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Work out a chunk's decays and inputs together, so that a token costs one operation."""
    result = []
    scaled = time_step * x
    for begin in range(0, x.shape[1], CHUNK):
        span = slice(begin, begin + CHUNK)
        decays = torch.exp(time_step[:, span, :, None] * decay)  # (batch, chunk, inner, state)
        memories = scaled[:, span, :, None] * write[:, span, None, :]
        for t in range(memories.shape[1]):
            memory = memories[:, t].addcmul_(decays[:, t], memory)
        result.append((memories @ read[:, span, :, None]).squeeze(-1))
        memory = memory.clone()  # lets go of the chunk
    return torch.cat(result, dim=1), memory


def _refuses_chunks(
    x: Tensor, time_step: Tensor, decay: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> str | None:
    if x.shape[1] == 1:
        return "one token is no chunk"
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, time_step, decay, write)):
        return "a gradient is wanted, and a chunk is written in place"
    return None


selective_scan = Operation(
    "selective scan", reference, (Variant("chunked", _chunked, _refuses_chunks),)
)
