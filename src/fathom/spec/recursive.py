"""A small network applied many times to its own answer: the tiny recursive model.

Jolicoeur-Martineau, 2025 (arXiv 2510.04871). Two states are carried: the answer so far and a
scratch. One and the same stack of layers refines the scratch several times, seeing the question,
then the answer once; that is done again and again, and after each round the answer can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from fathom.spec.attention import Attention
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Bare, Linear, Norm, Part, Table
from fathom.spec.roles import Role
from fathom.spec.work import ADDED, MAPPED, TURNED, About, Stage, Work, passing


@dataclass(frozen=True)
class Across:
    """A gated feed-forward over the positions: each channel alone, all positions together.

    Its `map` takes as many numbers as there are positions.
    """

    map: GatedMlp

    def parts(self) -> Mapping[str, Part | None]:
        return {"map": self.map}


RefiningMixer: TypeAlias = Attention | Across


@dataclass(frozen=True)
class RefiningLayer:
    """``x ← norm(x + mixer(x))``, then ``x ← norm(x + feed_forward(x))``, norms without weights.

    Where the mixer goes across positions, so does the norm that closes it.
    """

    mixer: RefiningMixer
    mixer_norm: Norm
    feed_forward: GatedMlp
    feed_forward_norm: Norm

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "mixer": self.mixer,
            "mixer_norm": self.mixer_norm,
            "feed_forward": self.feed_forward,
            "feed_forward_norm": self.feed_forward_norm,
        }


@dataclass(frozen=True)
class Recursive:
    """A question of `length` tokens, refined into an answer of as many.

    `slots` positions before the question hold a vector per puzzle (zeros beyond what its table
    gives); the first position also says whether to halt. `embedding_scale` multiplies tokens and
    slots; learned `positions` are added before that, and the sum divided by √2.

    One round is `cycles` times `inner` refinements of the scratch and one of the answer; an
    answer takes `rounds` rounds.
    """

    length: int
    slots: int
    cycles: int
    inner: int
    rounds: int
    embedding: Table
    puzzles: Table | None
    positions: Table | None
    layers: tuple[RefiningLayer, ...]
    output: Linear
    halt: Linear

    about: ClassVar[About] = About(
        "recursive",
        "a small stack of layers applied again and again to its own answer",
        ("a puzzle as tokens",),
        ("its solution as tokens",),
        ("solve",),
    )

    def parts(self) -> Mapping[str, Part | None]:
        start = Bare((self.width,), Role.EMBEDDING)
        return {
            "embedding": self.embedding,
            "puzzles": self.puzzles,
            "positions": self.positions,
            "layers": self.layers,
            "answer_start": start,
            "scratch_start": start,
            "output": self.output,
            "halt": self.halt,
        }

    @property
    def width(self) -> int:
        return self.embedding.width

    @property
    def vocabulary(self) -> int:
        return self.embedding.rows

    @property
    def embedding_scale(self) -> float:
        return float(self.width**0.5)

    @property
    def places(self) -> int:
        """Positions of a state: the slots, then the question."""
        return self.slots + self.length

    @property
    def usual(self) -> Work:
        return Work(steps=self.rounds)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """One stage: all rounds, each of ``cycles · (inner + 1)`` passes of the layers."""
        rounds = self.rounds if work.steps is None else work.steps
        places = work.batch * self.places
        layers = sum(_operations(layer, work.batch, self.places) for layer in self.layers)
        heads = passing(self.output, places) + passing(self.halt, work.batch)
        calls = self.cycles * (self.inner + 1)
        held = places * self.width
        return (
            Stage(
                "refining",
                self.layers,
                operations=calls * layers + heads,
                passes=rounds,
                live=max(_live(layer, work.batch, self) for layer in self.layers),
                kept=3 * held,  # question, answer, scratch
                rows=places,
                moved=calls * sum(places * _moved(layer) for layer in self.layers),
                turns=calls,
            ),
        )


def _operations(layer: RefiningLayer, batch: int, places: int) -> int:
    """Return the operations of one pass of a layer."""
    rows = batch * places
    alone = passing(layer.feed_forward, rows)
    if isinstance(layer.mixer, Across):
        return alone + passing(layer.mixer, batch * layer.feed_forward.width)
    return alone + passing(layer.mixer, rows) + rows * layer.mixer.operations(places)


def _moved(layer: RefiningLayer) -> int:
    """Return the numbers that a place has read and written in a layer, beside products.

    What comes in and what is found are added and normed, twice; heads are turned, put apart and
    together; in each feed-forward one half gates the other.
    """
    fed = [layer.feed_forward]
    turned = 0
    if isinstance(layer.mixer, Across):
        fed.append(layer.mixer.map)
    else:
        turned = 2 * TURNED * layer.mixer.heads * layer.mixer.head_width
    width = layer.feed_forward.width
    return 2 * (ADDED + MAPPED) * width + turned + (MAPPED + ADDED) * sum(one.inner for one in fed)


def _live(layer: RefiningLayer, batch: int, spec: Recursive) -> int:
    """Return the numbers held while a feed-forward is at its widest: stream, gate, up, product."""
    rows, width = batch * spec.places, spec.width
    widest = 3 * rows * layer.feed_forward.inner
    if isinstance(layer.mixer, Across):
        widest = max(widest, 3 * batch * width * layer.mixer.map.inner)
    return widest + 2 * rows * width
