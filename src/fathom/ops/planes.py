"""Convolutions and norms of planes (batch, channels, rows, columns) whose channels lie last.

`three_by_three` is a convolution of three by three places with zeros around; `group_norm` a norm
over groups of channels. The definitions are PyTorch's; `ops/kernels/convolution.hpp` says how a
quarter of the products is enough. Neighbouring sums and activations are part of each, so that
planes need not go through memory for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from fathom.ops.choose import Operation, Variant
from fathom.ops.native import native
from fathom.ops.native_tensors import array, refuses_natively

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Below so many channels, or tiles of four by four results, transforming costs more than it saves.
# In bfloat16 a usual product is twice as fast, and the other stays in float32.
LEAST_CHANNELS = {torch.float32: 32, torch.bfloat16: 128}
LEAST_TILES = {torch.float32: 8, torch.bfloat16: 48}
LEAST_RESULTS = {torch.float32: 1, torch.bfloat16: 64}  # channels that come out
TILE = 4


def convolution_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shift: Tensor | None = None,
    added: Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """The definition: planes (batch, channels, rows, columns) → (batch, outputs, rows, columns).

    With a `size`, every place of `x` first becomes several alike. A `shift` (batch, outputs) is
    added to each channel, and what is `added` has the shape of the result.
    """
    slide = partial(functional.conv2d, weight=weight, bias=bias, padding=1)
    return between(slide, x, shift, added, size)


def between(
    slide: Callable[[Tensor], Tensor],
    x: Tensor,
    shift: Tensor | None,
    added: Tensor | None,
    size: tuple[int, int] | None,
) -> Tensor:
    """Return what any convolution finds, with what is done before and after it."""
    found = slide(x if size is None else functional.interpolate(x, size=size))
    found = found if shift is None else found + shift[:, :, None, None]
    return found if added is None else added + found


def of_each_place(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of single places: a product, where their channels lie last."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return functional.conv2d(x, weight, bias)
    places = functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias)
    return places.permute(0, 3, 1, 2)


def _minimal_filtering(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shift: Tensor | None = None,
    added: Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    rows, columns = size or (x.shape[2], x.shape[3])
    result = torch.empty((x.shape[0], rows, columns, weight.shape[0]), dtype=x.dtype)
    _module().convolve(
        _last(x),
        array(weight),
        _offsets(bias, shift),
        None if added is None else _last(added),
        array(result),
        torch.get_num_threads(),
    )
    return result.permute(0, 3, 1, 2)


def _offsets(bias: Tensor | None, shift: Tensor | None) -> NDArray[Any] | None:
    """Return what each channel is moved by, (1 or batch, outputs) float32."""
    parts = [part.float() for part in (bias, shift) if part is not None]
    if not parts:
        return None
    return array(
        torch.atleast_2d(parts[0] if len(parts) == 1 else parts[0] + parts[1]).contiguous()
    )


def _refuses_minimal_filtering(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shift: Tensor | None = None,
    added: Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> str | None:
    reason = refuses_natively(x, weight, bias, shift, added) or _unlike(x, weight, added)
    if reason is not None:
        return reason
    rows, columns = size or (x.shape[2], x.shape[3])
    if any(-(-to // 2) != come for to, come in zip(size or (), x.shape[2:], strict=False)):
        return "planes become twice as large or stay as they are"
    tiles = x.shape[0] * -(-rows // TILE) * -(-columns // TILE)
    if x.shape[1] < LEAST_CHANNELS[x.dtype] or tiles < LEAST_TILES[x.dtype]:
        return "with so few channels or places, transforming costs more than it saves"
    if weight.shape[0] < LEAST_RESULTS[x.dtype]:
        return "with so few channels coming out, transforming costs more than it saves"
    return None


def _unlike(x: Tensor, weight: Tensor, added: Tensor | None) -> str | None:
    """Return what keeps a convolution's tensors from going together, or None."""
    planes = [one for one in (x, added) if one is not None]
    if not all(one.is_contiguous(memory_format=torch.channels_last) for one in planes):
        return "the channels of these planes do not lie last"
    if any(one.dtype != x.dtype for one in (weight, *planes)):
        return "planes and weights are of different types"
    return None


def group_norm_reference(
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    silu: bool = False,
) -> Tensor:
    """The definition: sums in float32, the result in the stream's type, activated or not."""
    exact = x if x.device.type == "cpu" else x.float()  # there sums are float32 by themselves
    normed = functional.group_norm(exact, groups, weight, bias, epsilon).to(x.dtype)
    return functional.silu(normed) if silu else normed


def _in_two_passes(
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    silu: bool = False,
) -> Tensor:
    result = torch.empty((x.shape[0], *x.shape[2:], x.shape[1]), dtype=x.dtype)
    own = [None if each is None else array(each.float()) for each in (weight, bias)]
    threads = torch.get_num_threads()
    _module().norm_groups(_last(x), *own, groups, epsilon, silu, array(result), threads)
    return result.permute(0, 3, 1, 2)


def _refuses_two_passes(
    x: Tensor,
    groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    silu: bool = False,
) -> str | None:
    reason = refuses_natively(x, weight, bias)
    if reason is not None:
        return reason
    if x.ndim != 4 or not x.is_contiguous(memory_format=torch.channels_last):
        return "the channels of these planes do not lie last"
    return None


def _last(planes: Tensor) -> NDArray[Any]:
    """Return planes as an array (batch, rows, columns, channels)."""
    return array(planes.permute(0, 2, 3, 1))


def _module() -> Any:
    return native()


three_by_three = Operation(
    "convolution of three by three",
    convolution_reference,
    [Variant("minimal filtering", _minimal_filtering, _refuses_minimal_filtering)],
)
group_norm = Operation(
    "group norm", group_norm_reference, [Variant("two passes", _in_two_passes, _refuses_two_passes)]
)
