"""Convolutions and group norms against PyTorch's own modules, and the sizes that a spec states."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fathom.blocks.build import build
from fathom.spec import parts
from fathom.spec.work import passing

KINDS = [
    (nn.Conv1d, {"kernel": (5,), "stride": (2,), "padding": (1,), "dilation": (2,)}),
    (nn.Conv2d, {"kernel": (3, 4), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 3)}),
    (nn.Conv3d, {"kernel": (1, 2, 3), "stride": (1, 2, 2), "padding": (0, 1, 1)}),
    (nn.ConvTranspose1d, {"kernel": (4,), "stride": (3,), "padding": (1,), "dilation": (2,)}),
    (nn.ConvTranspose2d, {"kernel": (2, 3), "stride": (2, 1), "padding": (0, 1)}),
    (nn.ConvTranspose3d, {"kernel": (2, 2, 2), "stride": (2, 2, 2), "padding": (0, 0, 0)}),
]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kind", "shape"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_convolution_is_pytorchs_and_states_its_size_and_operations(kind, shape, groups) -> None:
    axes = len(shape["kernel"])
    transposed = "Transpose" in kind.__name__
    shape = {"dilation": (1,) * axes, **shape}
    part = parts.Convolution(4, 6, **shape, groups=groups, transposed=transposed)
    theirs = kind(4, 6, shape.pop("kernel"), groups=groups, **shape)
    ours = build(part)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 4, *(9, 10, 11)[:axes])
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        result = ours(x)
    torch.testing.assert_close(result, theirs(x))
    assert result.shape[2:] == part.size(tuple(x.shape[2:]))
    rows = 3 * (x if transposed else result)[0, 0].numel()
    if groups == 1:  # PyTorch's counter takes grouped ones for whole
        assert passing(part, rows) == counted.get_total_flops()
    assert passing(part, rows) * groups == 2 * rows * 24 * torch.Size(part.kernel).numel()


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_a_group_norm_is_pytorchs(groups: int) -> None:
    theirs = nn.GroupNorm(groups, 6, eps=1e-3)
    nn.init.normal_(theirs.weight), nn.init.normal_(theirs.bias)
    ours = build(parts.GroupNorm(6, groups, 1e-3))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, 5, 4)
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours(x.bfloat16()).dtype is torch.bfloat16


def test_a_convolution_that_is_alike_on_all_axes_keeps_their_length() -> None:
    part = parts.convolution(3, 5, 7, axes=3)
    assert part.size((4, 5, 6)) == (4, 5, 6)
    assert part.tensors() == {"weight": (5, 3, 7, 7, 7), "bias": (5,)}
