"""What a vocabulary adds around a text: a first token, a last one."""

from __future__ import annotations

import tokenizers
from tokenizers import processors

from fathom.inputs.guard import tokenizer_errors


def put_around(backend: tokenizers.Tokenizer, before: list[str], after: list[str]) -> None:
    """Make `backend` add these tokens around a text when it is asked for special tokens.

    A byte-level post-processor, which only moves offsets, may be replaced by this.
    """
    if not before and not after:
        return
    with tokenizer_errors("special tokens cannot be added", "fetch the tokenizer again"):
        ids = [(token, backend.token_to_id(token)) for token in dict.fromkeys(before + after)]
        backend.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", *after, *(f"{token}:1" for token in before), "$B:1"]
            + [f"{token}:1" for token in after],
            special_tokens=ids,
        )
