"""Values in one tensor and scales in another: against independent arithmetic, and end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from fathom import library
from fathom.checkpoint.contents import Contents
from fathom.checkpoint.headers import read_headers
from fathom.checkpoint.scaled import join_scales
from fathom.checkpoint.tensors import Reader
from fathom.dialects.config import Config
from fathom.errors import ConfigError, ModelFileError
from parity.case import Case, build_reference
from parity.cases import deepseek, gpt_oss

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}


def _joined(folder: Path, stored: dict[str, object]) -> Contents:
    return join_scales(read_headers(folder), Config({"quantization_config": stored}))


def _read(folder: Path, stored: dict[str, object], name: str) -> Tensor:
    with Reader(_joined(folder, stored)) as reader:
        return reader.tensor(name, torch.float32)


def _quantise(weight: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return FP8 values, a scale per block, and what they stand for, element by element."""
    rows, columns = weight.shape
    height, width = block
    scales = torch.empty(-(-rows // height), -(-columns // width))
    values = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    meant = torch.empty(rows, columns)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            here = np.s_[i * height : (i + 1) * height, j * width : (j + 1) * width]
            scales[i, j] = weight[here].abs().max() / 448
            values[here] = (weight[here] / scales[i, j]).to(torch.float8_e4m3fn)
            meant[here] = values[here].float() * scales[i, j]
    return values, scales, meant


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    block=st.tuples(st.integers(1, 17), st.integers(1, 17)),
)
def test_block_scaled_fp8_is_each_value_times_its_scale(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], block: tuple[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("fp8")
    values, scales, meant = _quantise(torch.randn(shape), block)
    save_file({"a.weight": values, "a.weight_scale_inv": scales}, folder / "model.safetensors")
    assert torch.equal(_read(folder, {**FP8, "weight_block_size": [*block]}, "a.weight"), meant)


@settings(deadline=None, max_examples=15)
@given(
    experts=st.integers(1, 3),
    outputs=st.integers(1, 9),
    groups=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_mxfp4_blocks_equal_the_reference(
    tmp_path_factory: pytest.TempPathFactory, experts: int, outputs: int, groups: int, seed: int
) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    folder = tmp_path_factory.mktemp("mxfp4")
    generator = torch.Generator().manual_seed(seed)
    shape = (experts, outputs, groups)
    blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
    scales = torch.randint(110, 140, shape, generator=generator, dtype=torch.uint8)
    save_file({"a_blocks": blocks, "a_scales": scales}, folder / "model.safetensors")
    theirs = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    assert torch.equal(_read(folder, MXFP4, "a"), theirs)


def test_a_block_scaled_model_gives_the_logits_of_what_it_stands_for(tmp_path: Path) -> None:
    reference = build_reference(Case("deepseek_v3", "fp8", deepseek.THIRD), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    stored, meant = dict(tensors), dict(tensors)
    for name, tensor in tensors.items():
        if "proj" in name:
            values, scales, meaning = _quantise(tensor, (20, 32))
            stored[name], stored[name + "_scale_inv"] = values, scales
            meant[name] = meaning
    save_file(meant, tmp_path / "model.safetensors", metadata={"format": "pt"})
    expected = type(reference.model).from_pretrained(tmp_path, dtype=torch.float32).eval()
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
    _add_to_config(tmp_path, {**FP8, "weight_block_size": [20, 32]})
    _assert_equal_logits(tmp_path, expected)


def test_an_mxfp4_model_gives_the_logits_of_what_it_stands_for(tmp_path: Path) -> None:
    config = {**gpt_oss.SMALL, "hidden_size": 64, "intermediate_size": 32}
    reference = build_reference(Case("gpt_oss", "mxfp4", config), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    stored, meant = dict(tensors), dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith(("gate_up_proj", "down_proj")):
            experts, inputs, outputs = tensor.shape
            blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
            scales = torch.randint(121, 126, blocks.shape[:-1], dtype=torch.uint8)
            del stored[name]
            stored[name + "_blocks"], stored[name + "_scales"] = blocks, scales
            decoded = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
            meant[name] = decoded.contiguous()
    save_file(meant, tmp_path / "model.safetensors", metadata={"format": "pt"})
    expected = type(reference.model).from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
    _add_to_config(tmp_path, MXFP4)
    _assert_equal_logits(tmp_path, expected.eval())


def _add_to_config(folder: Path, stored: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": stored}))


def _assert_equal_logits(folder: Path, expected: torch.nn.Module) -> None:
    tokens = torch.randint(0, 99, (2, 24), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        theirs = expected(input_ids=tokens, use_cache=False).logits
    ours = library.open(str(folder), dtype="float32", device="cpu")
    assert float((ours.logits(tokens) - theirs).abs().max() / theirs.abs().max()) < 1e-4


def test_stored_bytes_count_the_scales(tmp_path: Path) -> None:
    values, scales, _ = _quantise(torch.randn(64, 48), (32, 32))
    save_file({"a.weight": values, "a.weight_scale_inv": scales}, tmp_path / "model.safetensors")
    contents = _joined(tmp_path, {**FP8, "weight_block_size": [32, 32]})
    assert list(contents.tensors) == ["a.weight"]
    assert contents.size == 64 * 48 + 4 * 4


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, None),
        ({"quant_method": "gptq"}, ConfigError),
        ({"activation_scheme": "static"}, ConfigError),
        ({"weight_block_size": [32]}, ConfigError),
        ({"weight_block_size": [16, 32]}, ModelFileError),
    ],
)
def test_storage_that_is_not_known_is_refused(
    tmp_path: Path, change: dict[str, object], error: type[Exception] | None
) -> None:
    values, scales, _ = _quantise(torch.randn(64, 48), (32, 32))
    save_file({"a.weight": values, "a.weight_scale_inv": scales}, tmp_path / "model.safetensors")
    stored = {**FP8, "weight_block_size": [32, 32], **change}
    if error is None:
        assert _joined(tmp_path, stored).tensors["a.weight"].shape == (64, 48)
        return
    with pytest.raises(error):
        _joined(tmp_path, stored)
