"""A tokenizer that cannot be talked into control tokens: ``<|im_end|>`` in a text stays text."""

from __future__ import annotations

import re
from collections.abc import Collection

import tokenizers
from tokenizers import Regex, models, pre_tokenizers


def literal_twin(backend: tokenizers.Tokenizer, special: Collection[int]) -> tokenizers.Tokenizer:
    """A copy of `backend` that reads the tokens `special` in a text as plain characters.

    It is a copy because the switch belongs to the object, which other threads may be using.
    """
    twin = tokenizers.Tokenizer.from_str(backend.to_str())
    twin.encode_special_tokens = True
    if isinstance(twin.model, models.Unigram):
        # This model finds any entry of its vocabulary in a text, control tokens included. Cutting
        # each of them after its first character keeps them apart.
        tokens = [str(twin.id_to_token(id)) for id in special]
        cuts = [
            f"(?<={re.escape(each[0])})(?={re.escape(each[1:])})" for each in tokens if each[1:]
        ]
        first: list[pre_tokenizers.PreTokenizer] = [
            pre_tokenizers.Split(Regex("|".join(cuts)), behavior="isolated")
        ]
        rest = [] if twin.pre_tokenizer is None else [twin.pre_tokenizer]
        if cuts:
            twin.pre_tokenizer = pre_tokenizers.Sequence([*rest, *first])
    return twin
