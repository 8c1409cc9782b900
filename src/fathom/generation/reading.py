"""Texts made ready to be read whole: cut into tokens, put into batches, padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenizers import Encoding

from fathom.errors import ContextLengthError, RequestError
from fathom.inputs.guard import tokenizer_errors
from fathom.inputs.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fathom.blocks.state import Step


@dataclass(frozen=True)
class Reading:
    """One text, or a pair, as tokens.

    `offsets` are where each token begins and ends in its text, in characters; `second` marks the
    tokens of a pair's second text and `special` those that belong to neither.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    second: tuple[bool, ...]
    special: tuple[bool, ...]


@dataclass(frozen=True)
class Batch:
    """Texts side by side: token ids and types (batch, length), and where each token stands."""

    rows: tuple[int, ...]  # of the texts, in the order in which they were given
    tokens: Tensor
    types: Tensor
    step: Step

    @property
    def real(self) -> Tensor:
        """True at tokens, False at padding: (batch, length)."""
        return self.step.positions >= 0


def read_text(
    tokenizer: Tokenizer,
    text: str,
    second: str | None = None,
    *,
    longest: int,
    truncate: bool = False,
) -> Reading:
    """Cut a text, or a pair of texts, into tokens with what the vocabulary wants around them.

    Raises:
        ContextLengthError: for more than `longest` tokens, unless they may be cut off.
        RequestError: for something that is no text.
    """
    if not isinstance(text, str) or not isinstance(second, str | None):
        raise RequestError("a text must be a string; decode bytes as UTF-8 first")
    with tokenizer_errors("this text cannot be tokenized", "shorten or change it"):
        encoding = tokenizer.backend.encode(text, second)
    return _reading(tokenizer, encoding, (text, second), longest, truncate)


def read_texts(
    tokenizer: Tokenizer, texts: Sequence[str], *, longest: int, truncate: bool = False
) -> list[Reading]:
    """Cut many texts into tokens, on all cores.

    Raises:
        ContextLengthError, RequestError: as `read_text`, for the first that is wrong.
    """
    if not all(isinstance(text, str) for text in texts):
        raise RequestError("a text must be a string; decode bytes as UTF-8 first")
    with tokenizer_errors("these texts cannot be tokenized", "shorten or change them"):
        encodings = tokenizer.backend.encode_batch(list(texts))
    return [
        _reading(tokenizer, encoding, (text, None), longest, truncate)
        for text, encoding in zip(texts, encodings, strict=True)
    ]


def _reading(
    tokenizer: Tokenizer,
    encoding: Encoding,
    texts: tuple[str, str | None],
    longest: int,
    truncate: bool,
) -> Reading:
    """Return tokens as a reading, cut off where they are too many and that is allowed."""
    if len(encoding.ids) > longest:
        if not truncate:
            raise ContextLengthError(
                f"a text of {len(encoding.ids):,} tokens exceeds the {longest:,} that this model"
                " takes; split it, or ask for it to be truncated"
            )
        encoding = _shortened(tokenizer, *texts, longest)
    return Reading(
        tuple(encoding.ids),
        tuple(encoding.type_ids),
        tuple(encoding.offsets),
        tuple(sequence == 1 for sequence in encoding.sequence_ids),
        tuple(flag == 1 for flag in encoding.special_tokens_mask),
    )


def _shortened(tokenizer: Tokenizer, text: str, second: str | None, longest: int) -> Encoding:
    """Cut texts before the tokens around them are added, so that those stay."""
    backend = tokenizer.backend
    texts = [text] if second is None else [text, second]
    plain = [backend.encode(one, add_special_tokens=False) for one in texts]
    room = longest - backend.num_special_tokens_to_add(second is not None)
    lengths = [len(one.ids) for one in plain]
    while sum(lengths) > room:
        lengths[lengths.index(max(lengths))] -= 1  # the longer of two gives way
    if min(lengths) < 1:
        raise ContextLengthError(f"{longest:,} tokens leave no room for the text")
    for one, length in zip(plain, lengths, strict=True):
        one.truncate(length)
    return backend.post_process(plain[0], None if second is None else plain[1])


def batches(
    readings: Sequence[Reading], size: int, device: torch.device, padding: int = 0
) -> Iterator[Batch]:
    """Yield batches of at most `size` texts, texts of like length together."""
    order = sorted(range(len(readings)), key=lambda index: -len(readings[index].ids))
    for start in range(0, len(order), size):
        rows = tuple(order[start : start + size])
        yield _batch(rows, [readings[row] for row in rows], device, padding)


def _batch(
    rows: tuple[int, ...], readings: Sequence[Reading], device: torch.device, padding: int
) -> Batch:
    import torch

    from fathom.blocks.state import Step

    length = len(readings[0].ids)  # the longest comes first
    shape = (len(readings), length)
    tokens, types = torch.full(shape, padding), torch.zeros(shape, dtype=torch.long)
    real = torch.zeros(shape, dtype=torch.bool)
    for row, reading in enumerate(readings):
        own = len(reading.ids)
        tokens[row, :own] = torch.tensor(reading.ids)
        types[row, :own] = torch.tensor(reading.types)
        real[row, :own] = True
    if bool(real.all()):
        step = Step.dense(len(readings), 0, length, device)
    else:
        step = Step.padded(real.to(device))
    return Batch(rows, tokens.to(device), types.to(device), step)
