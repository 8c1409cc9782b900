"""Qwen 2 and 3, and MiMo.

MiMo has no class in transformers. Its published modeling file subclasses Qwen 2's model without a
change to the forward pass and adds ``mtp_layers`` beside it, which its own ``forward`` never
calls; so the reference is transformers' Qwen 2 of MiMo's configuration, saved under its name.
"""

import json
from dataclasses import replace
from pathlib import Path

from parity.case import Case, Reference, build_reference
from parity.cases.llama import SMALL

WINDOWS = {
    **SMALL,
    "num_hidden_layers": 3,
    "use_sliding_window": True,
    "sliding_window": 7,
    "max_window_layers": 1,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}


def _mimo(folder: Path) -> Reference:
    qwen = Case("qwen2", "mimo", {**SMALL, "rope_parameters": {"rope_theta": 640000.0}})
    reference = build_reference(replace(qwen, build=None), folder)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config |= {"model_type": "mimo", "attention_bias": True, "num_nextn_predict_layers": 1}
    file.write_text(json.dumps(config))
    return reference


CASES = [
    Case("qwen2", "grouped", SMALL, gguf="transformers"),
    Case("qwen2", "tied", {**SMALL, "tie_word_embeddings": True}, gguf="transformers"),
    Case("qwen2", "window-unused", {**SMALL, "sliding_window": 7}),
    Case("qwen2", "windows-late", WINDOWS),
    Case(
        "qwen2",
        "windows-named",
        {**WINDOWS, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    Case("qwen2", "yarn", {**SMALL, "rope_parameters": YARN}, length=40),
    Case("qwen3", "grouped", {**SMALL, "head_dim": 12}, gguf="ours"),
    Case(
        "qwen3",
        "wide-heads-tied",
        {**SMALL, "head_dim": 20, "tie_word_embeddings": True},
        gguf="ours",
    ),
    Case("qwen3", "biases", {**SMALL, "head_dim": 16, "attention_bias": True}),
    Case("qwen3", "windows-late", {**WINDOWS, "head_dim": 16}),
    Case("qwen3", "yarn", {**SMALL, "head_dim": 16, "rope_parameters": YARN}, length=40),
    Case("mimo", "published", {}, build=_mimo, saves=False, notes="Qwen 2 under another name"),
]
