"""Vectors in a prompt: pictures, sound and frames stand where its text left places for them.

A prompt stays a list of token ids. Where a publisher's template left placeholders, vectors that
another part of the model made are put in their stead when the prompt is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from fathom.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

    from fathom.blocks.embedding import Given


@dataclass(frozen=True, eq=False)
class Insert:
    """Vectors (n, width) for the places `start` … `start` + n - 1 of a prompt.

    `key` tells their content from any other's, so that a state can be known again.
    """

    start: int
    vectors: Tensor
    key: int

    @property
    def end(self) -> int:
        return self.start + int(self.vectors.shape[0])


def expanded(prompt: Sequence[int], placeholder: int, counts: Sequence[int]) -> list[int]:
    """Return a prompt with each placeholder as often as its picture or sound has vectors.

    Raises:
        RequestError: there are more placeholders than pictures and sounds, or fewer.
    """
    found = sum(token == placeholder for token in prompt)
    if found != len(counts):
        raise RequestError(
            f"the chat template leaves {found} places for {len(counts)} pictures and sounds; leave"
            " out what stands for them in texts, and say what is a picture and what a sound"
        )
    left = iter(counts)
    return [
        token
        for each in prompt
        for token in ([each] * next(left) if each == placeholder else [each])
    ]


def inserts_at(
    prompt: Sequence[int], placeholder: int, several: Sequence[Tensor]
) -> tuple[Insert, ...]:
    """Return the vectors of several pictures or sounds, each (n, width), in their places.

    The places are those of the `placeholder` token, in the order of reading, one for each vector;
    other tokens may stand between them, also between those of one picture.

    Raises:
        RequestError: there are more places than vectors, or fewer.
    """
    places = [place for place, token in enumerate(prompt) if token == placeholder]
    wanted = sum(int(vectors.shape[0]) for vectors in several)
    if wanted != len(places):
        raise RequestError(
            f"the prompt has {len(places):,} places for {wanted:,} vectors; leave what stands for"
            " pictures and sound to the chat template"
        )
    found: list[Insert] = []
    for vectors in several:
        own, places = places[: len(vectors)], places[len(vectors) :]
        key, used = _digest(vectors), 0
        for first, end in _runs(own):
            found.append(Insert(first, vectors[used : used + end - first], key))
            used += end - first
    return tuple(found)


def check_inserts(inserts: Sequence[Insert], length: int) -> None:
    """Refuse vectors that stand outside a prompt of this length, or on one another.

    Raises:
        RequestError: naming the place.
    """
    free = 0
    for insert in inserts:
        if insert.start < free or insert.end > length:
            raise RequestError(
                f"vectors for the places {insert.start:,} to {insert.end - 1:,} do not fit in a"
                f" prompt of {length:,} tokens, in order and apart"
            )
        free = insert.end


def alike(some: Sequence[Insert], others: Sequence[Insert], length: int) -> bool:
    """Tell whether the same vectors stand in the first `length` places of two prompts."""
    held, wanted = (
        [(insert.start, insert.key) for insert in inserts if insert.start < length]
        for inserts in (some, others)
    )
    return held == wanted


def given_to(row: Tensor, inserts: Sequence[Insert], start: int) -> Given | None:
    """Return the vectors for a part of a prompt, tokens (1, length) from place `start` on."""
    import torch

    from fathom.blocks.embedding import Given

    end = start + int(row.shape[1])
    within = [insert for insert in inserts if insert.start < end and insert.end > start]
    if not within:
        return None
    places = torch.zeros_like(row, dtype=torch.bool)
    vectors = []
    for insert in within:
        first, last = max(insert.start, start), min(insert.end, end)
        places[0, first - start : last - start] = True
        vectors.append(insert.vectors[first - insert.start : last - insert.start])
    return Given(places, torch.cat(vectors).to(row.device))


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Return the stretches [first, end) of places that follow one another."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = runs[-1][0], place + 1
        else:
            runs.append((place, place + 1))
    return runs


def _digest(vectors: Tensor) -> int:
    """Return a number for the content of vectors."""
    content = vectors.detach().float().cpu().contiguous().numpy().tobytes()
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")
