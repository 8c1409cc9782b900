"""A tokenizer of a few words, for tiny checkpoints that have to read text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *("the", "a", "cat", "dog", "sat", "on", "mat", "in", "paris"),
    *("anna", "lives", "who", "where", "is", "?", ".", "sky", "blue"),
]
SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
}

Maker = Callable[..., Path]


def word_pieces() -> Tokenizer:
    """BERT's kind of tokenizer over `WORDS` and all letters."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = dict.fromkeys([*SPECIAL, *WORDS, *(f"##{letter}" for letter in letters[:15])])
    backend = Tokenizer(
        models.WordPiece({piece: id for id, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    backend.add_special_tokens(SPECIAL)
    return backend


@cache
def word_tokenizer() -> PreTrainedTokenizerFast:
    """The same, as transformers saves it."""
    from transformers import BertTokenizerFast

    return BertTokenizerFast(
        tokenizer_object=word_pieces(),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.fixture
def bert(tmp_path: Path) -> Maker:
    """Return what makes a folder with a tiny random BERT, its head and its tokenizer."""

    def make(architecture: str, **config: object) -> Path:
        import transformers

        torch.manual_seed(5)
        folder = tmp_path / architecture
        model = getattr(transformers, architecture)(transformers.BertConfig(**SMALL, **config))
        for parameter in model.parameters():
            parameter.data = torch.randn_like(parameter) * (0.3 if parameter.ndim > 1 else 0.2)
        model.eval().save_pretrained(folder)
        word_tokenizer().save_pretrained(folder)
        return folder

    return make
