"""A denoiser of patches: two streams, of a picture and of a text, that attend together.

Esser et al., 2024 (arXiv 2403.03206); norms scaled and shifted by the moment: Peebles & Xie, 2022
(arXiv 2212.09748).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.attention import Attention
from fathom.spec.feed_forward import Mlp
from fathom.spec.parts import Bare, Linear, Norm, Part, convolution
from fathom.spec.roles import Role
from fathom.spec.unet import VectorMlp, Waves
from fathom.spec.work import ADDED, MAPPED, About, Stage, Work, passing

ENDS = 2  # vectors by which a stream's last norm is scaled and shifted
WHOLE = 6  # a scale, a shift and a gate, for attention and for the feed-forward
DUAL = 9  # and for a second attention


@dataclass(frozen=True)
class Stream:
    """What one stream does in a layer: it attends with the other, and then treats each alone.

    The moment gives `vectors` per stream: scales and shifts of its norms, and gates of what is
    added. A stream that `ends` gives keys and values only. `alone` is a second attention, among
    its own tokens.
    """

    width: int
    heads: int
    head_width: int
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    feed_forward: Mlp | None = None
    alone: Attention | None = None
    ends: bool = False

    @property
    def vectors(self) -> int:
        return ENDS if self.ends else DUAL if self.alone is not None else WHOLE

    def parts(self) -> Mapping[str, Part | None]:
        inner = self.heads * self.head_width
        into = Linear(self.width, inner, Role.INTO_HEADS, bias=True)
        out = Linear(inner, self.width, Role.OUT_OF_HEADS, bias=True)
        return {
            "modulation": Linear(self.width, self.vectors * self.width, Role.DENSE, bias=True),
            "query": into,
            "key": into,
            "value": into,
            "query_norm": self.query_norm,
            "key_norm": self.key_norm,
            "output": None if self.ends else out,
            "alone": self.alone,
            "feed_forward": self.feed_forward,
        }

    def operations(self, batch: int, tokens: int) -> int:
        """Return those of its maps; the modulation sees one vector, not a token each."""
        named = dict(self.parts())
        modulation = named.pop("modulation")
        maps = tuple(part for part in named.values() if part is not None)
        total = passing(maps, batch * tokens) + passing(modulation or (), batch)
        if self.alone is not None:
            total += batch * tokens * self.alone.operations(tokens)
        return total

    def moved(self) -> int:
        """Return the numbers that a token has read and written beside products.

        Two norms, each scaled and shifted; heads put apart, joined with the other stream's and
        together again; two gated sums; an activation.
        """
        normed, gated = MAPPED + 2 * ADDED, 2 * ADDED
        inner = 0 if self.feed_forward is None else self.feed_forward.inner
        return (2 * (normed + gated) + 2 * 4 * MAPPED) * self.width + MAPPED * inner


@dataclass(frozen=True)
class JointLayer:
    """Both streams side by side, with one attention over the tokens of both."""

    picture: Stream
    text: Stream

    def parts(self) -> Mapping[str, Part | None]:
        return {"picture": self.picture, "text": self.text}

    def operations(self, batch: int, patches: int, tokens: int) -> int:
        """Return those of a pass over so many patches and tokens of text."""
        joined = patches + tokens
        attending = 4 * batch * joined**2 * self.picture.heads * self.picture.head_width
        return (
            self.picture.operations(batch, patches)
            + self.text.operations(batch, tokens)
            + attending
        )

    def moved(self, patches: int, tokens: int) -> int:
        """Return the numbers read and written beside products, for one picture."""
        return patches * self.picture.moved() + tokens * self.text.moved()


@dataclass(frozen=True)
class DiffusionTransformer:
    """Planes of noise and picture, a moment, a text and its vector in, a prediction out.

    `grid` is the side of the table of positions, of which the middle is taken.
    """

    channels: int
    outputs: int
    patch: int
    width: int
    grid: int
    waves: Waves
    time: VectorMlp
    told: VectorMlp
    text: Linear
    layers: tuple[JointLayer, ...]
    size: int = 128
    tokens: int = 333  # 77 of CLIP and 256 of T5, as it was published

    def parts(self) -> Mapping[str, Part | None]:
        patch = self.patch
        ending = ENDS * self.width
        return {
            "enter": convolution(self.channels, self.width, patch, stride=patch, padding=0),
            "positions": Bare((1, self.grid**2, self.width), Role.EMBEDDING),
            "time": self.time,
            "told": self.told,
            "text": self.text,
            "layers": self.layers,
            "modulation": Linear(self.width, ending, Role.DENSE, bias=True),
            "leave": Linear(self.width, patch**2 * self.outputs, Role.DENSE, bias=True),
        }

    def __str__(self) -> str:
        from fathom.spec.outline import show

        return show(self)

    @property
    def factor(self) -> int:
        """Of which a side must be a multiple."""
        return self.patch

    @property
    def text_width(self) -> int:
        return self.text.inputs

    @property
    def about(self) -> About:
        return About(
            "denoiser",
            "planes with noise, a moment and a text in, the way to the picture out",
            ("latents", "text states"),
            ("latents",),
            ("denoise",),
        )

    @property
    def usual(self) -> Work:
        return Work(height=self.size, width=self.size, tokens=self.tokens, steps=1)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        return (self.denoising(work),)

    def denoising(self, work: Work) -> Stage:
        """Return the stage of all steps; height and width are those of the planes."""
        height, width = work.height or self.size, work.width or self.size
        batch = work.batch * (2 if work.guided else 1)
        patches = (height // self.patch) * (width // self.patch)
        tokens = work.tokens or self.tokens
        parts = self.parts()
        ends = tuple(part for name in ("enter", "leave") if (part := parts[name]) is not None)
        told = (self.time, self.told, parts["modulation"] or ())
        operations = passing(ends, batch * patches) + passing(told, batch)
        operations += passing(self.text, batch * tokens)
        operations += sum(layer.operations(batch, patches, tokens) for layer in self.layers)
        return Stage(
            "denoiser",
            self,
            operations,
            passes=work.steps or 1,
            live=batch * self._live(patches, tokens),
            kept=work.batch * height * width * self.outputs,
            moved=batch * sum(layer.moved(patches, tokens) for layer in self.layers),
        )

    def _live(self, patches: int, tokens: int) -> int:
        """Return the numbers held at once for one picture: both streams, and the widest part."""
        held = self.width * (patches + tokens)
        fed = (layer.picture.feed_forward for layer in self.layers)
        inner = max((part.inner for part in fed if part is not None), default=0)
        # The stream before and after attention, what was found, its norm; the inner and its
        # activation. Attention itself: the stream, queries, keys and values, twice for joining.
        return max(patches * (4 * self.width + 2 * inner), 8 * held)
