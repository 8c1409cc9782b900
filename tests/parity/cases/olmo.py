"""OLMo 1 and 2."""

from parity.case import Case
from parity.cases.llama import SMALL

FIRST = {**SMALL, "pad_token_id": 0, "eos_token_id": 1}

CASES = [
    Case("olmo", "grouped", FIRST, gguf="ours"),
    Case("olmo", "clipped", {**FIRST, "clip_qkv": 0.4}, gguf="ours"),
    Case("olmo", "biases-tied", {**FIRST, "attention_bias": True, "tie_word_embeddings": True}),
    Case("olmo2", "grouped", FIRST, gguf="ours"),
    Case("olmo2", "one-key-head", {**FIRST, "num_key_value_heads": 1}),
    Case("olmo2", "biases-tied", {**FIRST, "attention_bias": True, "tie_word_embeddings": True}),
]
