"""Vectors in a prompt: pictures, sound and frames stand where its text left places for them.

A prompt stays a list of token ids. Where a publisher's template left placeholders, vectors that
another part of the model made are put in their stead when the prompt is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from fathom.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

    from fathom.blocks.embedding import Given


@dataclass(frozen=True)
class Extent:
    """How what stands in a prompt is spread: places frame by frame, row by row.

    Frames are `interval` positions apart, rounded down; what comes after goes on behind the
    longest row or column, as if the picture were so many tokens (arXiv 2409.12191), and where it
    is `timed` behind the last frame too.
    """

    frames: int
    rows: int
    columns: int
    interval: float = 1.0
    timed: bool = False

    @property
    def length(self) -> int:
        """Positions that it takes up of a text."""
        last = int((self.frames - 1) * self.interval) if self.timed else 0
        return max(1 + last, self.rows, self.columns)

    def places(self) -> Tensor:
        """Return (3, n): the frame, row and column of each place, from where it begins."""
        import torch

        frame = (torch.arange(self.frames) * self.interval).long()
        spread = torch.meshgrid(
            frame, torch.arange(self.rows), torch.arange(self.columns), indexing="ij"
        )
        return torch.stack(spread).flatten(1)


@dataclass(frozen=True, eq=False)
class Insert:
    """Vectors (n, width) for the places `start` … `start` + n - 1 of a prompt.

    `key` tells their content from any other's, so that a state can be known again. An `extent`
    is of what is spread over rows and columns, for models whose positions know them. Tokens
    `together`, from the first to before the second, see one another because of it, and where
    they are `bound` so in layers with a shorter window, too.
    """

    start: int
    vectors: Tensor
    key: int
    extent: Extent | None = None
    together: tuple[int, int] | None = None
    bound: bool = False

    @property
    def end(self) -> int:
        return self.start + int(self.vectors.shape[0])

    @property
    def known(self) -> int:
        """The first place of the prompt at which it makes a difference."""
        return self.start


@dataclass(frozen=True, eq=False)
class Placed:
    """What one picture, video or sound becomes in a prompt.

    `tokens` come in the place of the mark that a template left for it; at those of them that
    are `placeholder` stand `vectors` (n, width), in order. `extents` say how they are spread,
    one for each stretch of such tokens, where a model's positions know of it.
    """

    tokens: Sequence[int]
    placeholder: int
    vectors: Tensor
    extents: Sequence[Extent] = ()

    def inserts(self, start: int) -> Iterator[Insert]:
        """Yield its vectors for a prompt in which its first token is at `start`."""
        runs = inserts_at(self.tokens, self.placeholder, [self.vectors])
        extents: Sequence[Extent | None] = self.extents or [None] * len(runs)
        for run, extent in zip(runs, extents, strict=True):
            yield replace(run, start=run.start + start, extent=extent)


def placed(
    prompt: Sequence[int], waiting: Mapping[int, Sequence[Placed]]
) -> tuple[list[int], tuple[Insert, ...]]:
    """Return a prompt with each mark replaced by what stands there, and the vectors in it.

    `waiting` is by the token that marks a kind: the first mark of a kind is for its first, and
    so on, whatever stands between.

    Raises:
        RequestError: there are more marks of a kind than pictures, videos or sounds, or fewer.
    """
    for mark, several in waiting.items():
        found = sum(token == mark for token in prompt)
        if found != len(several):
            raise RequestError(
                f"the chat template leaves {found} places for {len(several)} pictures, videos or"
                " sounds; leave out what stands for them in texts, and say what is what"
            )
    left = {mark: iter(several) for mark, several in waiting.items()}
    tokens: list[int] = []
    inserts: list[Insert] = []
    for token in prompt:
        if token not in left:
            tokens.append(token)
            continue
        one = next(left[token])
        inserts += one.inserts(len(tokens))
        tokens += one.tokens
    return tokens, tuple(inserts)


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
        key, used = digest(vectors), 0
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

    def told(inserts: Sequence[Insert]) -> list[tuple[object, ...]]:
        within = (one for one in inserts if one.known < length)
        return [(one.start, one.key, one.extent, one.together) for one in within]

    return told(some) == told(others)


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


def places_of(inserts: Sequence[Insert], start: int, length: int) -> Tensor | None:
    """Return where the tokens `start` … `start` + length - 1 of a prompt stand, (3, 1, length).

    None where nothing is spread over rows and columns, and each stands at its number.
    """
    import torch

    spread = [(insert, insert.extent) for insert in inserts if insert.extent is not None]
    if not spread:
        return None
    end, numbers = start + length, torch.arange(start, start + length)
    places = numbers.expand(3, -1).clone()
    ahead = 0  # positions by which what follows is ahead of its number
    for insert, extent in spread:
        first, last = max(insert.start, start), min(insert.end, end)
        if first < last:
            own = extent.places()[:, first - insert.start : last - insert.start]
            places[:, first - start : last - start] = own + insert.start + ahead
        ahead += extent.length - (insert.end - insert.start)
        after = max(insert.end - start, 0)
        places[:, after:] = numbers[after:] + ahead
    return places[:, None]


def seen_by(
    inserts: Sequence[Insert], start: int, length: int
) -> tuple[Tensor, Tensor | None] | None:
    """Return the last and the first place that each of the tokens from `start` on sees at least.

    Both are (1, length); None where each sees itself and what is before it, and for the first
    where a window may hide what is far.
    """
    import torch

    grouped = [(one.together, one.bound) for one in inserts if one.together is not None]
    ends = torch.arange(start, start + length)
    starts, found = ends.clone(), False
    for (first, end), _ in grouped:
        within = slice(max(first - start, 0), max(end - start, 0))
        found = found or ends[within].numel() > 0
        ends[within], starts[within] = end - 1, first
    if not found:
        return None
    return ends[None], starts[None] if all(bound for _, bound in grouped) else None


def cut(inserts: Sequence[Insert], start: int, length: int, chunk: int) -> Iterator[int]:
    """Yield the lengths of passes over the tokens from `start` on, of `chunk` where they can be.

    Tokens that see one another are in one pass, however many they are.
    """
    end, ranges = start + length, [one.together for one in inserts if one.together is not None]
    while start < end:
        last = min(start + chunk, end)
        for first, beyond in ranges:
            if first < last < beyond:
                last = first if first > start else min(beyond, end)
        yield last - start
        start = last


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Return the stretches [first, end) of places that follow one another."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = runs[-1][0], place + 1
        else:
            runs.append((place, place + 1))
    return runs


def digest(vectors: Tensor) -> int:
    """Return a number for the content of vectors."""
    content = vectors.detach().float().cpu().contiguous().numpy().tobytes()
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")
