"""The gated delta rule, as a recurrence and by chunks (Yang et al., 2024, arXiv 2412.06464).

In float32. Shapes: `query` and `key` (batch, heads, length, key_width), `value` (batch, heads,
length, value_width), `rate` and `share` (batch, heads, length), `memory` (batch, heads, key_width,
value_width). `rate` is the logarithm of a token's decay. The results are y (batch, heads, length,
value_width) and the memory after the last token. A token whose rate and share are zero leaves the
memory as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.ops.choose import Operation, Variant
from fathom.ops.state_space_duality import between

CHUNK = 64  # tokens that one triangular system holds
EPSILON = 1e-6  # under the root of a length, as the authors' own code has it


def unit(x: Tensor) -> Tensor:
    """Return ``x / sqrt(Σx² + ε)`` over the last axis."""
    return x * torch.rsqrt(x.square().sum(dim=-1, keepdim=True) + EPSILON)


def reference(
    query: Tensor, key: Tensor, value: Tensor, rate: Tensor, share: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """``S ← exp(rate)·S``, ``S ← S + key ⊗ share·(value - key·S)``, ``y = query·S``."""
    result = []
    for t in range(query.shape[2]):
        memory = memory * rate[:, :, t, None, None].exp()
        found = (key[:, :, t, None, :] @ memory).squeeze(-2)
        correction = share[:, :, t, None] * (value[:, :, t] - found)
        memory = memory + key[:, :, t, :, None] * correction[:, :, None, :]
        result.append((query[:, :, t, None, :] @ memory).squeeze(-2))
    return torch.stack(result, dim=2), memory


def _chunked(
    query: Tensor, key: Tensor, value: Tensor, rate: Tensor, share: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve for all corrections of a chunk at once: each depends on those before it, linearly."""
    result = []
    for begin in range(0, query.shape[2], CHUNK):
        span = slice(begin, begin + CHUNK)
        q, k, v, s = query[:, :, span], key[:, :, span], value[:, :, span], share[:, :, span, None]
        decays, decayed = between(rate[:, :, span]), rate[:, :, span].cumsum(dim=-1).exp()
        system = s * (k @ k.transpose(-1, -2)) * decays  # its diagonal is read as ones
        wanted = s * (v - decayed[..., None] * (k @ memory))
        corrections = torch.linalg.solve_triangular(system, wanted, upper=False, unitriangular=True)
        seen = (q @ k.transpose(-1, -2)) * decays
        result.append(decayed[..., None] * (q @ memory) + seen @ corrections)
        left = k * decays[..., -1, :, None]  # what remains at the chunk's end
        memory = decayed[..., -1, None, None] * memory + left.transpose(-1, -2) @ corrections
    return torch.cat(result, dim=2), memory


def _refuses_chunks(
    query: Tensor, key: Tensor, value: Tensor, rate: Tensor, share: Tensor, memory: Tensor
) -> str | None:
    return "one token is no chunk" if query.shape[2] == 1 else None


delta_rule = Operation("delta rule", reference, (Variant("chunked", _chunked, _refuses_chunks),))
