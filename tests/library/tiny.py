"""A tiny random Llama in a folder, with a tokenizer whose tokens are single bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers

from fathom.inputs.pieces import byte_alphabet
from parity.case import randomise

THINK = ("<think>", "</think>")
FILL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
FIRST = 258  # the id of the first token that is added
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)
CONFIG: dict[str, object] = {
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 0,
}


def make(folder: Path, *, added: Sequence[str] = (), shards: str = "1GB", **config: object) -> Path:
    """Write the checkpoint as transformers does; `shards` is the most that one file may hold."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(9)
    model = LlamaForCausalLM(LlamaConfig(**{**CONFIG, **config}))
    randomise(model)
    model.eval().save_pretrained(folder, max_shard_size=shards)
    backend = tokenizers.Tokenizer(models.BPE(dict(byte_alphabet()), []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>", *added])
    backend.save(str(folder / "tokenizer.json"))
    stated = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    return folder
