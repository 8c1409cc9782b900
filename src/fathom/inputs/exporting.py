"""A tokenizer as the files that other tools read, for one that came inside a GGUF file."""

from __future__ import annotations

import json

from fathom.inputs.tokenizer import Tokenizer


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, str]:
    """Return the texts of ``tokenizer.json`` and of the files beside it, by name."""
    settings: dict[str, object] = dict(tokenizer.words)
    templates = dict(tokenizer.templates)
    files = {
        "tokenizer.json": str(tokenizer.backend.to_str()),
        "tokenizer_config.json": json.dumps(settings, indent=2, ensure_ascii=False),
    }
    if "default" in templates:
        files["chat_template.jinja"] = templates["default"]
    return files
