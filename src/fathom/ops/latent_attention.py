"""Attention over latents: keys and values are read off one narrow vector per token.

Shapes: query (batch, heads, length, plain + rotary), its rotary dimensions last and turned;
latent (batch, keys, latent), turned (batch, keys, rotary); key_up (heads, plain, latent),
value_up (heads, value, latent). `mask` is as in `ops.attention`. The result is
(batch, heads, length, value).
"""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.ops.attention import Scoring, attention
from fathom.ops.choose import Operation, Variant


def reference(
    query: Tensor,
    latent: Tensor,
    turned: Tensor,
    key_up: Tensor,
    value_up: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
) -> Tensor:
    """The definition (arXiv 2405.04434, equations 9 to 19): every head's keys, then attention."""
    plain = torch.einsum("bkl,hpl->bhkp", latent, key_up)
    shared = turned[:, None].expand(-1, key_up.shape[0], -1, -1)
    value = torch.einsum("bkl,hvl->bhkv", latent, value_up)
    return attention(query, torch.cat((plain, shared), dim=-1), value, scoring, mask)


def _absorbed(
    query: Tensor,
    latent: Tensor,
    turned: Tensor,
    key_up: Tensor,
    value_up: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
) -> Tensor:
    """Queries are mapped to the latent instead of latents to keys; all heads share one key.

    ``q · (W c) = (Wᵀ q) · c``, and a weighted sum of values is the map of a sum of latents.
    """
    plain, rotary = query.split((key_up.shape[1], turned.shape[-1]), dim=-1)
    asked = torch.cat((torch.einsum("bhqp,hpl->bhql", plain, key_up), rotary), dim=-1)
    shared = torch.cat((latent, turned), dim=-1)[:, None]
    mixed = attention(asked, shared, latent[:, None], scoring, mask)
    return torch.einsum("bhql,hvl->bhqv", mixed, value_up)


def _refuses_absorbed(
    query: Tensor,
    latent: Tensor,
    turned: Tensor,
    key_up: Tensor,
    value_up: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
) -> str | None:
    """Refuse where reading off all keys once is less work, as over a long prompt."""
    length, keys = query.shape[2], latent.shape[1]
    rank, rotary = latent.shape[-1], turned.shape[-1]
    maps = rank * (key_up.shape[1] + value_up.shape[1])
    absorbed = length * (maps + keys * (2 * rank + rotary))
    expanded = keys * maps + length * keys * (key_up.shape[1] + rotary + value_up.shape[1])
    if absorbed <= expanded:
        return None
    return (
        f"{length} queries over {keys} keys: absorbing takes {absorbed / expanded:.1f} × the work"
    )


latent_attention = Operation(
    "latent attention", reference, [Variant("absorbed", _absorbed, _refuses_absorbed)]
)
