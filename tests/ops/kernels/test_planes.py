"""Kernels of planes for every set of instructions here, against PyTorch in float64: odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fathom.ops.native import native
from fathom.ops.native_tensors import array

MODULE: Any = native()
VARIANTS = [name for name, lacks in MODULE.variants() if not lacks]
DTYPES = st.sampled_from([torch.float32, torch.bfloat16])
# Of the largest number: sums in float32, and results rounded once.
TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 2.0**-8}

pytestmark = pytest.mark.skipif(isinstance(MODULE, str), reason=str(MODULE))


def drawn(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def last(planes: Tensor) -> Any:
    return array(planes.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1))


def off(found: Tensor, expected: Tensor) -> float:
    """How far results are from expected ones, of the largest of these."""
    return float((found.double() - expected).abs().max() / max(1.0, expected.abs().max()))


@settings(max_examples=60, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    dtype=DTYPES,
    batch=st.integers(1, 2),
    channels=st.sampled_from([1, 7, 16, 33, 96]),
    outputs=st.sampled_from([1, 3, 16, 40, 65]),
    size=st.tuples(st.integers(1, 30), st.integers(1, 13)),
    given_too=st.sets(st.sampled_from(["doubled", "weights last", "bias", "shift", "added"])),
    threads=st.integers(1, 3),
)
def test_a_convolution_is_pytorchs(
    variant: str,
    dtype: torch.dtype,
    batch: int,
    channels: int,
    outputs: int,
    size: tuple[int, int],
    given_too: set[str],
    threads: int,
) -> None:
    """Results of one place above and one below, beside batches, biases and what is added."""
    doubled = "doubled" in given_too
    source = drawn((batch, channels, *(-(-n // 2) if doubled else n for n in size)), dtype, 1)
    weight = drawn((outputs, channels, 3, 3), dtype, 2) / 8
    if "weights last" in given_too:
        weight = weight.contiguous(memory_format=torch.channels_last)
    bias = drawn((batch if "shift" in given_too else 1, outputs), torch.float32, 3)
    bias = bias if given_too & {"bias", "shift"} else None
    added = drawn((batch, outputs, *size), dtype, 4) if "added" in given_too else None
    result = torch.full((batch, *size, outputs), torch.nan, dtype=dtype)
    MODULE.convolve(
        last(source),
        array(weight),
        None if bias is None else array(bias),
        None if added is None else last(added),
        array(result),
        threads,
        variant,
    )
    taken = functional.interpolate(source.double(), size=size) if doubled else source.double()
    expected = functional.conv2d(taken, weight.double(), padding=1)
    expected = expected if bias is None else expected + bias[:, :, None, None]
    expected = expected if added is None else expected + added
    assert off(result.permute(0, 3, 1, 2), expected) < 4 * TOLERANCE[dtype]


@settings(max_examples=40, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    dtype=DTYPES,
    channels=st.sampled_from([(1, 1), (6, 3), (40, 8), (96, 32)]),
    size=st.tuples(st.integers(1, 9), st.sampled_from([1, 5, 190])),
    silu=st.booleans(),
    weighted=st.booleans(),
    threads=st.integers(1, 3),
)
def test_a_group_norm_is_pytorchs(
    variant: str,
    dtype: torch.dtype,
    channels: tuple[int, int],
    size: tuple[int, int],
    silu: bool,
    weighted: bool,
    threads: int,
) -> None:
    """With numbers far from zero too, whose squares nearly cancel."""
    count, groups = channels
    source = (drawn((2, count, *size), torch.float32, 1) * 3 + 20).to(dtype)
    weight, bias = (drawn((count,), torch.float32, seed) for seed in (2, 3))
    own = (array(weight), array(bias)) if weighted else (None, None)
    result = torch.empty((2, *size, count), dtype=dtype)
    MODULE.norm_groups(last(source), *own, groups, 1e-3, silu, array(result), threads, variant)
    given_too = (weight.double(), bias.double()) if weighted else (None, None)
    expected = functional.group_norm(source.double(), groups, *given_too, 1e-3)
    expected = functional.silu(expected) if silu else expected
    assert off(result.permute(0, 3, 1, 2), expected) < 20 * TOLERANCE[dtype]


@settings(max_examples=60, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    dtype=DTYPES,
    heads=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    tokens=st.tuples(st.sampled_from([1, 63, 70, 200]), st.sampled_from([1, 5, 96, 97, 250])),
    width=st.sampled_from([1, 8, 20, 33]),
    value_width=st.sampled_from([1, 6, 40]),
    threads=st.integers(1, 3),
)
def test_attention_is_its_definition(
    variant: str,
    dtype: torch.dtype,
    heads: tuple[int, int],
    tokens: tuple[int, int],
    width: int,
    value_width: int,
    threads: int,
) -> None:
    """Heads lie among each other, as maps leave them; scores are far apart."""
    if dtype == torch.bfloat16 and variant != "avx512-vnni-bf16":
        dtype = torch.float32  # alone takes pairs of bfloat16
    queries, keys = tokens
    batch, count = heads
    shapes = ((queries, width), (keys, width), (keys, value_width))
    query, key, value = (
        drawn((batch, length, count, wide), dtype, seed).transpose(1, 2) * 2
        for seed, (length, wide) in enumerate(shapes)
    )
    result = torch.full((batch, queries, count, value_width), torch.nan, dtype=dtype)
    result = result.transpose(1, 2)
    arrays = (array(one) for one in (query, key, value))
    MODULE.attend(*arrays, 0.7, array(result), threads, variant)
    scores = query.double() @ key.double().transpose(2, 3) * 0.7
    expected = scores.softmax(dim=-1) @ value.double()
    assert off(result, expected) < 4 * TOLERANCE[dtype]


def planes(*shape: int, dtype: type = np.float32) -> Any:
    return np.zeros(shape, dtype)


GOOD = {"source": planes(1, 6, 6, 8), "weights": planes(5, 8, 3, 3), "results": planes(1, 6, 6, 5)}


@pytest.mark.parametrize(
    "changed",
    [
        {"weights": planes(5, 7, 3, 3)},
        {"weights": planes(5, 8, 1, 3)},
        {"weights": planes(5, 8, 3, 3, dtype=np.uint16)},
        {"results": planes(1, 6, 7, 5)},
        {"results": planes(2, 6, 6, 5)},
        {"results": planes(1, 6, 6, 10)[..., ::2]},
        {"source": planes(1, 6, 8, 6).transpose(0, 1, 3, 2)},
        {"bias": np.zeros((2, 5), np.float32)},
        {"added": planes(1, 6, 6, 4)},
        {"threads": 0},
    ],
    ids=str,
)
def test_planes_that_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    good = {**GOOD, "bias": None, "added": None, "threads": 1}
    MODULE.convolve(**good)
    with pytest.raises((ValueError, TypeError)):
        MODULE.convolve(**{**good, **changed})


@pytest.mark.parametrize("changed", [{"groups": 3}, {"weight": np.zeros(7, np.float32)}], ids=str)
def test_norms_that_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    x = planes(1, 2, 2, 8)
    good = {"source": x, "weight": None, "bias": None, "groups": 4, "epsilon": 1e-5}
    good |= {"silu": False, "results": x.copy(), "threads": 1}
    MODULE.norm_groups(**good)
    with pytest.raises(ValueError, match=r"alike|each channel"):
        MODULE.norm_groups(**{**good, **changed})


@pytest.mark.parametrize(
    "changed",
    [{"key": planes(1, 2, 5, 7)}, {"value": planes(1, 2, 4, 6)}, {"scale": 0.0}],
    ids=str,
)
def test_heads_that_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    good = {"query": planes(1, 2, 3, 8), "key": planes(1, 2, 5, 8), "value": planes(1, 2, 5, 6)}
    good |= {"scale": 1.0, "results": planes(1, 2, 3, 6), "threads": 1}
    MODULE.attend(**good)
    with pytest.raises(ValueError, match=r"wide|scale"):
        MODULE.attend(**{**good, **changed})
