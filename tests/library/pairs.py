"""Tiny random models that read one text and write another, in folders, with a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from fathom import library
from library.conftest import word_tokenizer

TEXT = "the cat sat on the mat . anna lives in paris"
T5 = {
    "vocab_size": 64,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "eos_token_id": 3,
    "pad_token_id": 0,
}
BART = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": 3,
    "forced_eos_token_id": None,
    "decoder_start_token_id": 3,
}
KINDS = {
    "t5": ("T5ForConditionalGeneration", T5),
    "bart": ("BartForConditionalGeneration", BART),
    "marian": ("MarianMTModel", BART),
}


def make(
    folder: Path,
    kind: str,
    wishes: Mapping[str, object],
    *,
    seed: int = 3,
    scale: float = 0.5,
    **config: object,
) -> tuple[Path, Any]:
    """Write one of `KINDS` below a folder; return where it lies, and it as transformers reads it.

    `wishes` are what its publisher wants of an answer, as transformers spells it.
    """
    torch.manual_seed(seed)
    name, small = KINDS[kind]
    model_class = getattr(transformers, name)
    model = model_class(model_class.config_class(**small, **config))
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * scale
    place = folder / f"{kind}-{seed}"
    model.save_pretrained(place)
    file = place / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **wishes}))
    word_tokenizer().save_pretrained(place)
    return place, model_class.from_pretrained(place).eval()


def opened(folder: Path, *, natively: bool = False) -> library.Model:
    """Open for comparing, in the type of the file: as modules, or as native programs."""
    return library.open(str(folder), dtype=None if natively else "float32", device="cpu")
