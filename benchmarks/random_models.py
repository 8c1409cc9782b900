"""Writes checkpoints with random weights, in their publishers' own spelling."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import gguf as ggml
import torch
from torch import Tensor

from fathom.checkpoint.description import describe
from fathom.checkpoint.naming import spell
from fathom.checkpoint.rewriting import backwards
from fathom.checkpoint.saving import save
from fathom.dialects import gguf
from fathom.spec.parts import parameters
from fathom.spec.roles import EXACT, Role

TABLE = Path(__file__).with_name("models.toml")
_DIFFERENT = 1_000_003  # numbers, over and over: neither a matrix nor a row repeats
SPREAD = 0.02  # standard deviation of weights, as most publishers begin training


def configurations() -> Mapping[str, Mapping[str, object]]:
    """Return a configuration of each dialect, by its ``model_type``."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: {"model_type": name, **config} for name, config in table.items()}


def write_model(config: Mapping[str, object], folder: Path, encoding: str) -> Path:
    """Write a checkpoint and return its path: a folder of safetensors, or one GGUF file.

    `encoding` is "F32" or "BF16", or one of GGUF's that its own package can write.
    """
    source = folder / "configuration"
    source.mkdir(parents=True)
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if encoding not in ("F32", "BF16"):
        return _write_gguf(source / "config.json", folder / "model.gguf", encoding)
    dtype = torch.float32 if encoding == "F32" else torch.bfloat16
    description = describe(source / "config.json")
    save(description, dict(_weights(source / "config.json", dtype)), folder / "model")
    return folder / "model"


def _weights(config: Path, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    generator = torch.Generator().manual_seed(11)
    some = torch.empty(_DIFFERENT).normal_(std=SPREAD, generator=generator)
    for one in parameters(describe(config).spec):
        target = torch.float32 if one.role in EXACT else dtype
        if one.role in (Role.NORM, Role.STATE_SPACE):
            yield one.name, torch.ones(one.shape, dtype=target)
        else:
            times = -(-one.elements // _DIFFERENT)
            yield one.name, some.to(target).repeat(times)[: one.elements].view(one.shape)


def _write_gguf(config: Path, path: Path, encoding: str) -> Path:
    description = describe(config)
    kind = ggml.GGMLQuantizationType[encoding]
    weights = dict(_weights(config, torch.float32))
    architecture, keys = _header(description.config)
    writer = ggml.GGUFWriter(path, architecture)
    for key, value in keys.items():
        add = writer.add_uint32 if isinstance(value, int) else writer.add_float32
        add(f"{architecture}.{key}", value)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for assignment in spell(gguf.rules(description.dialect, description.spec), shapes):
        tensors = backwards(assignment.steps, [weights[name] for name in assignment.ours])
        for name, tensor in zip(assignment.theirs, tensors, strict=True):
            numbers = tensor.contiguous().numpy()
            if tensor.dim() == 1:
                writer.add_tensor(name, numbers)
            else:
                writer.add_tensor(name, ggml.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _header(config: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Return GGUF's name for the architecture and the keys that the configuration states."""
    architecture, spelling = next(
        (name, spelling)
        for name, spelling in gguf.ARCHITECTURES.items()
        if config["model_type"] in (spelling.model_type, *spelling.also)
    )
    keys = {**gguf.COMMON_KEYS, **spelling.keys}
    return architecture, {
        key: config[theirs] for key, theirs in keys.items() if config.get(theirs) is not None
    }
