"""Variants of what is done to planes against the definitions, and what each variant refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fathom.ops.choose import only
from fathom.ops.native import native
from fathom.ops.planes import group_norm, three_by_three

NATIVE = not isinstance(native(), str) and native().best()[0].startswith("avx")  # type: ignore[union-attr]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7}


def planes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last)


def agree(found: Tensor, expected: Tensor) -> None:
    bound = TOLERANCE[expected.dtype] * float(expected.abs().max())
    torch.testing.assert_close(found, expected, atol=bound, rtol=0)


@pytest.mark.parametrize("variant", [v.name for v in three_by_three.variants])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("size", [None, (37, 40)], ids=str)
@pytest.mark.parametrize("more", [False, True])
def test_variants_of_a_convolution_agree(
    variant: str, dtype: torch.dtype, size: tuple[int, int] | None, more: bool
) -> None:
    x = planes(2, 130, 19 if size else 26, 20, dtype=dtype)
    weight, bias = (
        planes(70, 130, 3, 3, dtype=dtype) / 16,
        planes(70, 1, 1, 1, dtype=dtype)[:, 0, 0, 0],
    )
    shift = torch.randn(2, 70).to(dtype) if more else None
    added = planes(2, 70, *(size or (26, 20)), dtype=dtype) if more else None
    given = (x, weight, bias, shift, added, size)
    with only("reference"):
        expected = three_by_three(*given)
    three_by_three.refusals.clear()
    with only(variant):
        found = three_by_three(*given)
    assert not NATIVE or not three_by_three.refusals
    assert not NATIVE or found.is_contiguous(memory_format=torch.channels_last)
    agree(found, expected)


@pytest.mark.parametrize("variant", [v.name for v in group_norm.variants])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("silu", [False, True])
def test_variants_of_a_group_norm_agree(variant: str, dtype: torch.dtype, silu: bool) -> None:
    x, weight, bias = planes(2, 24, 7, 9, dtype=dtype), torch.randn(24), torch.randn(24)
    with only("reference"):
        expected = group_norm(x, 6, weight, bias, 1e-5, silu)
    group_norm.refusals.clear()
    with only(variant):
        agree(group_norm(x, 6, weight, bias, 1e-5, silu), expected)
    assert not NATIVE or not group_norm.refusals


@pytest.mark.skipif(not NATIVE, reason="no native kernel runs here that could refuse")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"x": planes(1, 64, 16, 16).contiguous()}, "do not lie last"),
        ({"x": planes(1, 64, 16, 16).double()}, "not in torch.float64"),
        ({"x": planes(1, 64, 4, 4)}, "so few channels or places"),
        ({"x": planes(1, 16, 16, 16), "weight": planes(8, 16, 3, 3)}, "so few channels or places"),
        ({"x": planes(1, 64, 16, 16, dtype=torch.bfloat16)}, "different types"),
        ({"size": (48, 48)}, "twice as large"),
        ({"weight": planes(8, 64, 3, 3).requires_grad_()}, "no gradient"),
        ({"x": planes(1, 64, 16, 16).to("meta")}, "on meta"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_convolution_is_refused_with_a_reason(changed: dict[str, object], reason: str) -> None:
    variant = three_by_three.variants[0]
    good = {"x": planes(1, 64, 16, 16), "weight": planes(8, 64, 3, 3), "bias": None}
    assert variant.refuses(**good) is None  # type: ignore[arg-type]
    assert reason in str(variant.refuses(**{**good, **changed}))  # type: ignore[arg-type]
