"""GGUF files of tiny checkpoints: our names read backwards, written by ggml's own package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf as ggml
import torch

from fathom.checkpoint.naming import spell
from fathom.checkpoint.rewriting import backwards
from fathom.dialects import gguf
from fathom.dialects.dialect import find
from fathom.library import TextModel


def architecture_of(config: Mapping[str, object]) -> str | None:
    """Return GGUF's name for a published configuration, or None where it has none."""
    for name, spelling in gguf.ARCHITECTURES.items():
        constants = dict(spelling.constants)
        if config["model_type"] in (spelling.model_type, *spelling.also) and all(
            config.get(key, value) == value for key, value in constants.items()
        ):
            return name
    return None


def write_gguf(
    model: TextModel,
    config: Mapping[str, object],
    path: Path,
    more: Mapping[str, object] | None = None,
) -> None:
    """Write a model as GGUF in float32; keys from its published configuration, and `more`."""
    architecture = architecture_of(config)
    assert architecture is not None
    writer = ggml.GGUFWriter(path, architecture)
    for key, value in {**_keys(architecture, config), **(more or {})}.items():
        _add(writer, f"{architecture}.{key}", value)
    parameters = dict(model.module.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    rules = gguf.rules(find(str(config["model_type"])), model.spec)
    for assignment in spell(rules, shapes):
        ours = [parameters[name].detach() for name in assignment.ours]
        for name, tensor in zip(assignment.theirs, backwards(assignment.steps, ours), strict=True):
            writer.add_tensor(name, tensor.to(torch.float32).contiguous().numpy())
    for name, factors in _factors(config).items():
        writer.add_tensor(name, torch.tensor(factors, dtype=torch.float32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _keys(architecture: str, config: Mapping[str, Any]) -> dict[str, object]:
    """Return the keys that a converter would write, without the architecture before them."""
    flat = {**config, **_mapping(config.get("rope_parameters"))}
    if "partial_rotary_factor" in flat:
        heads, width = flat["num_attention_heads"], flat["hidden_size"]
        flat["rotary_dim"] = int(
            flat.get("head_dim", width // heads) * flat["partial_rotary_factor"]
        )
    spelling = gguf.ARCHITECTURES[architecture]
    keys = {**gguf.COMMON_KEYS, **spelling.keys}
    keys = {key: flat[theirs] for key, theirs in keys.items() if flat.get(theirs) is not None}
    if flat.get("rope_type") == "longrope":
        names = {"original_context_length": "original_max_position_embeddings"}
        names |= {"attn_factor": "attention_factor"}
        stated = {key: flat[name] for key, name in names.items() if flat.get(name) is not None}
        keys |= {f"rope.scaling.{key}": value for key, value in stated.items()}
    return keys


def _factors(config: Mapping[str, object]) -> dict[str, object]:
    """Return LongRoPE's factors, which GGUF holds as tensors."""
    rotary = _mapping(config.get("rope_parameters"))
    kinds = [kind for kind in ("short", "long") if f"{kind}_factor" in rotary]
    return {f"rope_factors_{kind}.weight": rotary[f"{kind}_factor"] for kind in kinds}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _add(writer: ggml.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        raise TypeError(f"{key} has the value {value!r}, which GGUF cannot hold")
