"""Whole sequences in, scores out: what parity tests and evaluations ask for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.errors import ContextLengthError, RequestError
from fathom.spec.model import TextModel


def checked_tokens(token_ids: Sequence[Sequence[int]] | Tensor, spec: TextModel) -> Tensor:
    """Return token ids as a tensor (batch, length), after checking them against the spec.

    Raises:
        RequestError: for ids outside the vocabulary, no ids, or rows of different lengths.
        ContextLengthError: for rows longer than the context.
    """
    if not isinstance(token_ids, Tensor) and len({len(row) for row in token_ids}) > 1:
        raise RequestError("the sequences differ in length; pass them one by one, or pad them")
    tokens = torch.as_tensor(token_ids)
    if tokens.ndim != 2 or tokens.numel() == 0 or tokens.dtype.is_floating_point:
        raise RequestError("token ids must be whole numbers in the shape (batch, length)")
    if int(tokens.min()) < 0 or int(tokens.max()) >= spec.vocabulary:
        raise RequestError(f"token ids must lie from 0 to {spec.vocabulary - 1:,}")
    if tokens.shape[1] > spec.context:
        raise ContextLengthError(
            f"{tokens.shape[1]:,} tokens exceed the context of {spec.context:,}; shorten the text"
        )
    return tokens.long()
