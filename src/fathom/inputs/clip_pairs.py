"""CLIP's byte pairs from ``vocab.json`` and ``merges.txt``, as the first pipelines store them.

Text is lowered and cut into words, of which each ends by a mark of its own (Radford et al., 2021,
https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from fathom.errors import TokenizerError

WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def build(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    words: Mapping[str, str],
) -> tokenizers.Tokenizer:
    """Return the tokenizer of a vocabulary; `words` are its special tokens by their names.

    Raises:
        TokenizerError: when the tokens around a text are not in the vocabulary.
    """
    begin, end = words.get("bos_token", BEGIN), words.get("eos_token", END)
    if begin not in vocabulary or end not in vocabulary:
        raise TokenizerError(
            f"vocab.json lacks {begin!r} or {end!r}, which stand around every text; fetch it again"
        )
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocab=dict(vocabulary),
            merges=list(merges),
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=words.get("unk_token", END),
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("</w>", " "), decoders.Strip(" ", 0, 1)]
    )
    around = ((end, vocabulary[end]), (begin, vocabulary[begin]))
    backend.post_processor = processors.RobertaProcessing(
        *around, trim_offsets=False, add_prefix_space=False
    )
    backend.add_special_tokens([begin, end])
    return backend
