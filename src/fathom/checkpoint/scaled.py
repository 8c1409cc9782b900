"""Weights whose values lie in one tensor of a file and their scales in another.

The pair is presented as one tensor under the name that an unquantised file would use, before
any naming rule applies. Known are block-scaled FP8 (DeepSeek-V3: arXiv 2412.19437, section
3.3.2) and MXFP4 (OCP Microscaling Formats 1.0, as gpt-oss publishes it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fathom.checkpoint.contents import Contents, Scales, TensorInfo
from fathom.dialects.config import Config
from fathom.errors import ConfigError, ModelFileError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLOAT8 = ("F8_E4M3", "F8_E5M2")
MXFP4_BLOCK = 32  # numbers that share a scale
FP8_SUFFIX = ".weight_scale_inv"
BLOCKS, SCALES = "_blocks", "_scales"


def join_scales(contents: Contents, config: Config) -> Contents:
    """Return the contents with every pair of values and scales as one tensor.

    `config` is the model's; its ``quantization_config`` says how values are stored.

    Raises:
        ConfigError: for a way of storing weights that is not known.
        ModelFileError: ``E_SHAPE`` where scales do not fit their values.
    """
    stored = config.section("quantization_config")
    if not stored.values:
        return contents
    method = stored.text("quant_method")
    if method not in _METHODS:
        raise ConfigError(
            f"{stored.where}: weights are stored by '{method}', and only {', '.join(_METHODS)} can"
            " be read; take the unquantised checkpoint, or a GGUF file"
        )
    return replace(contents, tensors=_METHODS[method](contents.tensors, stored))


def _join_fp8(tensors: Mapping[str, TensorInfo], stored: Config) -> dict[str, TensorInfo]:
    """Join every ``X.weight`` in FP8 with ``X.weight_scale_inv``: a factor per block of it."""
    stored.choice("activation_scheme", ("dynamic",), "dynamic")  # else inputs are scaled too
    block = _block(stored)
    joined = {name: info for name, info in tensors.items() if not name.endswith(FP8_SUFFIX)}
    for name, scales in tensors.items():
        values = joined.get(name.removesuffix(FP8_SUFFIX) + ".weight")
        if not name.endswith(FP8_SUFFIX) or values is None:
            continue
        grid = tuple(-(-size // edge) for size, edge in zip(values.shape, block, strict=False))
        if values.encoding not in FLOAT8 or len(values.shape) != 2 or scales.shape != grid:
            raise _unfit(values, scales)
        joined[values.name] = replace(values, scales=Scales(scales, block))
    return joined


def _block(stored: Config) -> tuple[int, int]:
    sizes = stored.items("weight_block_size", (128, 128))
    match sizes:
        case [int(rows), int(columns)] if rows > 0 and columns > 0:
            return rows, columns
    raise ConfigError(f"{stored.where}: 'weight_block_size' must be two sizes, not {sizes!r}")


def _join_mxfp4(tensors: Mapping[str, TensorInfo], stored: Config) -> dict[str, TensorInfo]:
    """Join ``X_blocks``, (…, outputs, groups, 16) bytes, with ``X_scales``, one per group.

    The result is X as an unquantised file holds it: (…, inputs, outputs).
    """
    joined: dict[str, TensorInfo] = {}
    for name, info in tensors.items():
        base = name.removesuffix(BLOCKS)
        if name.endswith(SCALES) and name.removesuffix(SCALES) + BLOCKS in tensors:
            continue
        scales = tensors.get(base + SCALES)
        if base == name or scales is None:
            joined[name] = info
            continue
        if info.shape[-1:] != (MXFP4_BLOCK // 2,) or scales.shape != info.shape[:-1]:
            raise _unfit(info, scales)
        *lead, outputs, groups, _ = info.shape
        shape = (*lead, groups * MXFP4_BLOCK, outputs)
        joined[base] = replace(
            info,
            name=base,
            encoding="MXFP4",
            shape=shape,
            scales=Scales(scales, (1, MXFP4_BLOCK)),
        )
    return joined


_METHODS: Mapping[str, Callable[[Mapping[str, TensorInfo], Config], dict[str, TensorInfo]]] = {
    "fp8": _join_fp8,
    "mxfp4": _join_mxfp4,
}


def _unfit(values: TensorInfo, scales: TensorInfo) -> ModelFileError:
    return ModelFileError(
        "E_SHAPE",
        f"'{scales.name}' {list(scales.shape)} does not fit '{values.name}' {values.encoding}"
        f" {list(values.shape)}",
        file=scales.file,
    )


def decode(
    values: Tensor, scales: Tensor, info: TensorInfo, dtype: torch.dtype | None = None
) -> Tensor:
    """Return a joined tensor in `dtype`, or float32, from the stored bytes of both parts.

    A run of rows is decoded at a time, so that little more than the result is in memory.
    """
    import torch

    target = dtype or torch.float32
    if info.encoding == "MXFP4":
        return _decode_mxfp4(values, scales, info, target)
    return _decode_fp8(values, scales, info, target)


def _decode_fp8(values: Tensor, scales: Tensor, info: TensorInfo, dtype: torch.dtype) -> Tensor:
    import torch

    from fathom.checkpoint.encodings import encoding

    assert info.scales is not None
    (rows, columns), (height, width) = info.shape, info.scales.block
    factors = encoding(info.scales.tensor.encoding).decode(scales, info.scales.tensor.shape)
    kind = encoding(info.encoding)
    result = torch.empty(info.shape, dtype=dtype)
    for index, begin in enumerate(range(0, rows, height)):
        part = result[begin : begin + height]
        numbers = kind.decode(values[begin * columns :][: part.numel()], part.shape)
        part.copy_(numbers * factors[index].repeat_interleave(width)[:columns])
    return result


def _decode_mxfp4(values: Tensor, scales: Tensor, info: TensorInfo, dtype: torch.dtype) -> Tensor:
    import torch

    from fathom.checkpoint.encodings import encoding

    *lead, inputs, outputs = info.shape
    groups = inputs // MXFP4_BLOCK
    numbers, exponents = encoding("F4"), encoding("F8_E8M0")
    result = torch.empty(*lead, outputs, inputs, dtype=dtype)
    flat = result.view(-1, outputs, groups, MXFP4_BLOCK)
    blocks, factors = values.view(flat.shape[0], -1), scales.view(flat.shape[0], -1)
    for part, block, factor in zip(flat, blocks, factors, strict=True):
        shared = exponents.decode(factor, (outputs, groups, 1))
        part.copy_(numbers.decode(block, part.shape) * shared)
    return result.transpose(-1, -2)
