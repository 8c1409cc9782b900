"""Mamba-2's recurrence, as a recurrence and as matrix products (Dao & Gu, 2024, arXiv 2405.21060).

In float32. Shapes: `x` (batch, length, heads, head_width), `time_step` (batch, length, heads),
`decay` (heads,) below zero, `write` and `read` (batch, length, groups, state_width), `memory`
(batch, heads, head_width, state_width). The results are y, shaped as x, and the memory after the
last token. A token whose time step is zero leaves the memory as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.ops.choose import Operation, Variant

CHUNK = 64  # tokens that one matrix of scores holds


def reference(
    x: Tensor, time_step: Tensor, decay: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """``h ← exp(Δ·A)·h + Δ·x ⊗ write``, ``y = h·read``, token by token."""
    write, read = _per_head(write, x), _per_head(read, x)
    result = []
    for t in range(x.shape[1]):
        delta = time_step[:, t, :, None, None]
        new = delta * x[:, t, :, :, None] * write[:, t, :, None, :]
        memory = torch.exp(delta * decay[:, None, None]) * memory + new
        result.append((memory @ read[:, t, :, :, None]).squeeze(-1))
    return torch.stack(result, dim=1), memory


def _chunked(
    x: Tensor, time_step: Tensor, decay: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Within a chunk tokens see one another as in attention; the memory carries the rest."""
    heads_first = [t.transpose(1, 2) for t in (_per_head(write, x), _per_head(read, x))]
    scaled = (x * time_step[..., None]).transpose(1, 2)  # (batch, heads, length, head_width)
    rates = (time_step * decay).transpose(1, 2)  # (batch, heads, length)
    result = []
    for begin in range(0, x.shape[1], CHUNK):
        span = slice(begin, begin + CHUNK)
        new, (writes, reads) = scaled[:, :, span], [t[:, :, span] for t in heads_first]
        decays, decayed = between(rates[:, :, span]), rates[:, :, span].cumsum(dim=-1).exp()
        scores = (reads @ writes.transpose(-1, -2)) * decays
        recalled = decayed[..., None] * (reads @ memory.transpose(-1, -2))
        result.append(scores @ new + recalled)
        left = new * decays[..., -1, :, None]  # what remains at the chunk's end
        memory = decayed[..., -1, None, None] * memory + left.transpose(-1, -2) @ writes
    return torch.cat(result, dim=2).transpose(1, 2), memory


def between(rates: Tensor) -> Tensor:
    """Return the decay from each token j to each token i ≥ j, and zero where j is the later.

    `rates` (…, length) are the logarithms of the tokens' own decays; the result is (…, i, j).
    Each is summed from its own j on: a difference of sums from the start would lose digits.
    """
    length = rates.shape[-1]
    after = rates[..., None].expand(*rates.shape, length).tril(-1)  # of t, where t comes after j
    return after.cumsum(dim=-2).exp().tril()


def _per_head(shared: Tensor, x: Tensor) -> Tensor:
    """(batch, length, groups, state_width) → (batch, length, heads, state_width)."""
    return shared.repeat_interleave(x.shape[2] // shared.shape[2], dim=2)


def _refuses_chunks(
    x: Tensor, time_step: Tensor, decay: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> str | None:
    return "one token is no chunk" if x.shape[1] == 1 else None


state_space_duality = Operation(
    "state-space duality", reference, (Variant("chunked", _chunked, _refuses_chunks),)
)
