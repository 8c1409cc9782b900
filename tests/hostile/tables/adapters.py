"""LoRA adapters: lines AD-01 to AD-08 of the catalogue. A line here is a change and its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from fathom.checkpoint.safetensors_writer import write_safetensors
from hostile.benign import WIDTH
from hostile.case import Build, Case

CONFIG: Mapping[str, object] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj"],
    "base_model_name_or_path": "owner/base",
}
MODULE = "base_model.model.model.layers.0.self_attn.q_proj"


def adapter(
    config: Mapping[str, object] | None = None, *, down: tuple[int, int] = (2, WIDTH)
) -> Build:
    def build(folder: Path) -> Path:
        path = folder / "adapter"
        path.mkdir()
        (path / "adapter_config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
        factors = {
            f"{MODULE}.lora_A.weight": torch.zeros(down),
            f"{MODULE}.lora_B.weight": torch.zeros(WIDTH, 2),
        }
        write_safetensors(path / "adapter_model.safetensors", factors)
        return path

    return build


REFUSED: dict[str, tuple[Build, str]] = {
    "AD-01 a library to import": (
        adapter({"auto_mapping": {"parent_library": "os", "base_model_class": "system"}}),
        "E_UNSAFE_CODE",
    ),
    "AD-02 a core to import": (
        adapter({"megatron_config": {"a": 1}, "megatron_core": "evil"}),
        "E_UNSAFE_CODE",
    ),
    "AD-06 rank 0": (adapter({"r": 0}), "E_MISMATCH"),
    "AD-06 negative rank": (adapter({"r": -2}), "E_MISMATCH"),
    "AD-06 rank of a million": (adapter({"r": 10**6}), "E_MISMATCH"),
    "AD-06 factors that disagree": (adapter(down=(3, WIDTH)), "E_MISMATCH"),
    "AD-06 no scale": (adapter({"lora_alpha": "4"}), "E_MISMATCH"),
}
ACCEPTED: dict[str, Build] = {
    "AD-03 trust in code": adapter({"tokenizer_kwargs": {"trust_remote_code": True}}),
    "AD-04 a base elsewhere": adapter({"base_model_name_or_path": "../../x"}),
    "AD-07 a pattern that takes for ever": adapter({"target_modules": "(a+)+$"}),
}
DOOR = ("adapter",)
CASES = [
    Case(*name.split(" ", 1), build, code, adapter(), DOOR, DOOR)
    for name, (build, code) in REFUSED.items()
] + [Case(*name.split(" ", 1), build, doors=DOOR) for name, build in ACCEPTED.items()]
