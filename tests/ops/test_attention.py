"""Every variant of attention against the definition, and the definition against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ops.attention import Scoring, attention, reference, visible
from fathom.ops.choose import only


def tensors(queries: int, keys: int, heads: int = 4, kv_heads: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(2, heads, queries, 8), (2, kv_heads, keys, 8), (2, kv_heads, keys, 6)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def by_hand(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention as a loop over every query, the last one aligned with the last key."""
    out = torch.zeros(*query.shape[:3], value.shape[3])
    ahead = key.shape[2] - query.shape[2]
    for b in range(query.shape[0]):
        for h in range(query.shape[1]):
            kv = h * key.shape[1] // query.shape[1]
            for q in range(query.shape[2]):
                seen = range(q + ahead + 1)
                scores = [float(query[b, h, q] @ key[b, kv, k]) / math.sqrt(8) for k in seen]
                weights = torch.tensor(scores).softmax(0)
                out[b, h, q] = sum(w * value[b, kv, k] for w, k in zip(weights, seen, strict=True))
    return out


@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (1, 5), (3, 5)])
def test_the_definition_is_the_loop(queries: int, keys: int) -> None:
    query, key, value = tensors(queries, keys)
    expected = by_hand(query, key, value)
    found = reference(query, key, value, Scoring(scale=8**-0.5))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", [v.name for v in attention.variants])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (1, 5), (3, 5)])
def test_variants_agree_with_the_definition(
    variant: str, masked: bool, biased: bool, queries: int, keys: int
) -> None:
    query, key, value = tensors(queries, keys)
    scoring = Scoring(scale=0.3)
    mask = bias = None
    if masked:
        places = torch.arange(keys).expand(2, -1)
        mask = visible(places[:, keys - queries :], places, Scoring(scale=0.3, window=2))
    if biased:
        bias = torch.randn(2, 4, queries, keys)
    expected = reference(query, key, value, scoring, mask, bias)
    with only(variant):
        found = attention(query, key, value, scoring, mask, bias)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", [v.name for v in attention.variants])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_variants_agree_where_every_query_sees_every_key(variant: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    shapes = [(2, 60, 3, 20), (2, 77, 3, 20), (2, 77, 3, 9)]
    query, key, value = (
        torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for shape in shapes
    )
    scoring = Scoring(scale=0.3, causal=False)
    expected = reference(query, key, value, scoring)
    with only(variant):
        found = attention(query, key, value, scoring)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    ("scoring", "queries", "kv_heads", "reason"),
    [
        (Scoring(scale=0.3), 60, 2, "every key alike"),
        (Scoring(scale=0.3, causal=False), 5, 2, "48 queries or more, not 5"),
        (Scoring(scale=0.3, causal=False), 60, 1, "keys of their own"),
        (Scoring(scale=-0.3, causal=False), 60, 2, "scales above zero, and this is -0.3"),
        (Scoring(scale=0.3, causal=False, soft_cap=2.0), 60, 2, "dense kernel cannot bound"),
        (Scoring(scale=0.3, causal=False, sinks=torch.zeros(2)), 60, 2, "dense kernel knows no"),
    ],
)
def test_the_dense_kernel_says_what_it_does_not_do(
    scoring: Scoring, queries: int, kv_heads: int, reason: str
) -> None:
    dense = attention.variants[0]
    given = tensors(queries, 30, heads=2, kv_heads=kv_heads)
    told = str(dense.refuses(*given, scoring))
    assert reason in told or "kernels" in told  # which may be missing here
    alike = tensors(60, 30, heads=2, kv_heads=2)
    accepted = dense.refuses(*alike, Scoring(scale=0.3, causal=False))
    assert accepted is None or "kernels" in accepted  # which may be missing here


def test_a_refusal_keeps_its_reason() -> None:
    query, key, value = tensors(3, 3)
    attention(query, key, value, Scoring(scale=1.0, soft_cap=5.0))
    assert "soft cap" in attention.refusals["fused"]
    attention(query, key, value, Scoring(scale=1.0, sinks=torch.zeros(4)))
    assert "sinks" in attention.refusals["fused"]


def test_a_sink_takes_its_share() -> None:
    """A sink of score s beside one key of score 0 leaves 1 / (1 + e^s) for the value."""
    query, key, value = torch.zeros(1, 1, 1, 4), torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4)
    found = attention(query, key, value, Scoring(scale=1.0, sinks=torch.tensor([2.0])))
    torch.testing.assert_close(found, torch.full_like(found, 1 / (1 + math.exp(2.0))))


@settings(deadline=None)
@given(
    length=st.integers(1, 8),
    window=st.none() | st.integers(1, 5),
    chunk=st.none() | st.integers(1, 5),
    causal=st.booleans(),
    padding=st.integers(0, 3),
)
def test_visibility_is_what_the_words_say(
    length: int, window: int | None, chunk: int | None, causal: bool, padding: int
) -> None:
    positions = torch.tensor([[-1] * padding + list(range(length))])
    scoring = Scoring(scale=1.0, causal=causal, window=window, chunk=chunk)
    seen = visible(positions, positions, scoring)[0, 0]
    for q, query in enumerate(positions[0].tolist()):
        for k, key in enumerate(positions[0].tolist()):
            near = window is None or (query - key < window and (causal or key - query < window))
            together = chunk is None or key // chunk == query // chunk
            expected = key >= 0 and (key <= query or not causal) and near and together
            assert bool(seen[q, k]) == (expected or query < 0)
