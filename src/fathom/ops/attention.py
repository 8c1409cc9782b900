"""Scaled dot-product attention with grouped heads (Vaswani et al., 2017; Ainslie et al., 2023).

Shapes: query (batch, heads, length, head_width), key (batch, kv_heads, keys, head_width), value
(batch, kv_heads, keys, value_width); the result is (batch, heads, length, value_width).
`mask`, broadcast to (batch, heads, length, keys), is True where a query may see a key. Without
a mask, causal order aligns the last query with the last key. `bias` is added to the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import Operation, Variant
from fathom.ops.native import native
from fathom.ops.native_tensors import array, refuses_natively

LEAST_QUERIES = 48  # that fill most lanes of the dense kernel


@dataclass(frozen=True)
class Scoring:
    """How queries meet keys, beside the tensors themselves."""

    scale: float
    causal: bool = True
    window: int | None = None  # a query sees itself and window - 1 tokens before it
    chunk: int | None = None  # a query sees its own block of so many tokens
    soft_cap: float | None = None  # scores are bounded by cap · tanh(score / cap)
    sinks: Tensor | None = None  # (heads,): scores that take their share and contribute nothing
    slopes: Tensor | None = None  # (heads,): of a penalty linear in distance
    rounded: bool = False  # slope · key position in bfloat16, times scale, instead


def visible(
    query_positions: Tensor,
    key_positions: Tensor,
    scoring: Scoring,
    ends: Tensor | None = None,
    starts: Tensor | None = None,
) -> Tensor:
    """Return which keys each query may see, (batch, 1, length, keys).

    Causal order ends at the query itself, or where `ends` (batch, length) says. A window begins
    no later than `starts` (batch, length), where they are given. A negative position marks
    padding or an empty slot. No query sees one; a padding query sees everything, so that its
    softmax has something to sum and its result stays finite.
    """
    query = query_positions[:, None, :, None]
    key = key_positions[:, None, None, :]
    seen = (key >= 0).expand(-1, -1, query.shape[2], -1)
    if scoring.causal:
        seen = seen & (key <= (query if ends is None else ends[:, None, :, None]))
    if scoring.window is not None:
        near = key > query - scoring.window
        seen = seen & (near if starts is None else near | (key >= starts[:, None, :, None]))
        if not scoring.causal:
            seen = seen & (key < query + scoring.window)
    if scoring.chunk is not None:
        seen = seen & (key // scoring.chunk == query // scoring.chunk)
    return seen | (query < 0)


def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """The definition: scores and softmax in float32."""
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1)
    value = value.repeat_interleave(groups, dim=1)
    scores = torch.matmul(query.float(), key.float().transpose(-1, -2)) * scoring.scale
    if scoring.soft_cap is not None:
        scores = torch.tanh(scores / scoring.soft_cap) * scoring.soft_cap
    if bias is not None:
        scores = scores + bias
    if mask is None and scoring.causal:
        mask = _causal(scores.shape[-2], scores.shape[-1], scores.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if scoring.sinks is not None:
        extra = scoring.sinks.float()[None, :, None, None].expand(*scores.shape[:-1], 1)
        weights = torch.softmax(torch.cat((scores, extra), dim=-1), dim=-1)[..., :-1]
    else:
        weights = torch.softmax(scores, dim=-1)
    return torch.matmul(weights, value.float()).to(query.dtype)


def _causal(length: int, keys: int, device: torch.device) -> Tensor:
    return torch.ones(length, keys, dtype=torch.bool, device=device).tril(keys - length)


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """PyTorch's fused kernels; one query needs no causal mask, as it is the last."""
    length, keys = query.shape[2], key.shape[2]
    square = mask is None and scoring.causal and length == keys and length > 1
    if mask is None and scoring.causal and 1 < length < keys:
        mask = _causal(length, keys, query.device)
    if bias is not None:
        hidden = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
        if square:
            hidden = bias.masked_fill(~_causal(length, keys, query.device), float("-inf"))
            square = False
        mask = hidden.to(query.dtype)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=square,
        scale=scoring.scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _refuses_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> str | None:
    return _refuses_scores("fused", scoring)


def _refuses_scores(kernel: str, scoring: Scoring) -> str | None:
    """Return what a kernel that scales scores cannot do with them, in its own name."""
    if scoring.soft_cap is not None:
        return f"the {kernel} kernel cannot bound scores by a soft cap"
    if scoring.sinks is not None:
        return f"the {kernel} kernel knows no attention sinks"
    return None


def _dense(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Every query sees every key: queries in the lanes of vectors, whatever a head's width."""
    batch, heads, queries, _ = query.shape
    found = torch.empty((batch, queries, heads, value.shape[3]), dtype=query.dtype).transpose(1, 2)
    arrays = (array(one) for one in (query, key, value))
    module: Any = native()
    module.attend(*arrays, scoring.scale, array(found), torch.get_num_threads())
    return found


def _refuses_dense(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scoring: Scoring,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> str | None:
    if mask is not None or bias is not None or scoring.causal:
        return "the dense kernel lets every query see every key alike"
    refused = _refuses_scores("dense", scoring) or refuses_natively(query, key, value)
    if refused is not None:
        return refused
    module: Any = native()
    if query.dtype == torch.bfloat16 and not module.attends_in_bfloat16():
        return "this processor does not multiply bfloat16"
    if scoring.scale <= 0:
        return f"the dense kernel takes scales above zero, and this is {scoring.scale}"
    return _refuses_shapes(query, key, value)


def _refuses_shapes(query: Tensor, key: Tensor, value: Tensor) -> str | None:
    """Return why tensors do not lie as the dense kernel reads them."""
    if query.shape[1] != key.shape[1]:
        return "the dense kernel is for heads with keys of their own"
    if query.shape[2] < LEAST_QUERIES:
        return f"the dense kernel is for {LEAST_QUERIES} queries or more, not {query.shape[2]}"
    if any(one.dtype != query.dtype for one in (key, value)):
        return "the dense kernel takes queries, keys and values of one type"
    if any(one.stride(3) != 1 for one in (query, key, value)):
        return "the dense kernel reads heads whose numbers lie side by side"
    return None


attention = Operation(
    "attention",
    reference,
    [Variant("dense", _dense, _refuses_dense), Variant("fused", _fused, _refuses_fused)],
)
