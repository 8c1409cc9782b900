"""A tower that sees, as a part of any model: patches, layers, and one vector of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Linear, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.cross import CrossAttention, Source
from fathom.blocks.embedding import Embedding
from fathom.blocks.feed_forward import Mlp
from fathom.blocks.heads import Transform
from fathom.blocks.panes import Panes, standing
from fathom.blocks.state import MixerState, Passing, Step
from fathom.spec import vision as spec
from fathom.spec.attention import Attention, Pane
from fathom.spec.positions import Rotary

_PASSING = Passing()


class PatchEmbedding(Block):
    """Pictures (batch, channels, height, width) → tokens (batch, before + patches, width)."""

    patches: Convolution
    summary: Tensor | None
    registers: Tensor | None
    positions: Table | None
    norm: Norm | None

    def __init__(self, described: spec.PatchEmbedding) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, pixels: Tensor) -> Tensor:
        """Return tokens: the summary, registers, then the patches row by row."""
        rows, columns = self.spec.cut(*pixels.shape[-2:])
        patches = self._cut(pixels, rows, columns)
        if self.positions is not None:
            patches = patches + self._positions(rows, columns, patches.dtype)
        leading = []
        if self.summary is not None:
            first = 0 if self.positions is None else self.positions.weight[0]
            leading.append((self.summary + first)[None, :])
        if self.registers is not None:
            leading.append(self.registers)
        if leading:
            before = torch.cat(leading).expand(len(patches), -1, -1)
            patches = torch.cat((before, patches), dim=1)
        return patches if self.norm is None else self.norm(patches)

    def _cut(self, pixels: Tensor, rows: int, columns: int) -> Tensor:
        """Return what the kernel makes of each patch, (batch, patches, width).

        Patches do not overlap. Through several frames they are laid out as rows of one product,
        which is quicker than sliding a kernel over three axes.
        """
        if self.spec.frames == 1:
            return self.patches(pixels).flatten(2).transpose(1, 2)
        batch, (height, width), kernel = len(pixels), self.spec.patch, self.patches
        cut = pixels.reshape(batch, -1, rows, height, columns, width)
        laid = cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)
        weight = kernel.weight.flatten(1)
        return functional.linear(laid.to(weight.dtype), weight, kernel.bias)

    def _positions(self, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        """Return what is added to the patches, (rows · columns, width)."""
        if self.positions is None:
            raise TypeError("an embedding without positions has none to add")
        learned = self.positions.weight[int(self.spec.summary) :]
        if (rows, columns) == self.spec.grid:
            return learned
        if self.spec.between == "nearest":
            return self._nearest(learned, rows, columns)
        grid = learned.float().unflatten(0, self.spec.grid).permute(2, 0, 1)[None]
        stretched = functional.interpolate(
            grid, size=(rows, columns), mode="bicubic", antialias=self.spec.smoothed
        )
        return stretched[0].flatten(1).T.to(dtype)

    def _nearest(self, learned: Tensor, rows: int, columns: int) -> Tensor:
        """Return for each patch the position in whose share of the picture it begins."""
        own_rows, own_columns = self.spec.grid
        row = torch.arange(rows, device=learned.device) * own_rows // rows
        column = torch.arange(columns, device=learned.device) * own_columns // columns
        return learned[(row[:, None] * own_columns + column).flatten()]


class VisionEncoder(Block):
    """A tower: pictures (batch, channels, height, width) → states (batch, tokens, width)."""

    embedding: PatchEmbedding
    layers: nn.ModuleList
    norm: Norm | None

    def __init__(self, described: spec.VisionEncoder) -> None:
        super().__init__(described)
        self.spec = described
        mixers = [layer.mixer for layer in described.layers]
        self.turned = any(isinstance(getattr(one, "positions", None), Rotary) for one in mixers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the states after all layers, and the norm where there is one."""
        x = self.states(pixels)
        return x if self.norm is None else self.norm(x)

    def states(self, pixels: Tensor) -> Tensor:
        """Return the states after all layers, before the norm."""
        return self.depths(pixels, [len(self.layers)])[0]

    def depths(self, pixels: Tensor, depths: Sequence[int]) -> list[Tensor]:
        """Return the states after so many layers, for each of `depths`; 0 is before the first.

        Models that read a tower from a layer before its last run no more than they read.
        """
        rows, columns = self.spec.embedding.cut(*pixels.shape[-2:])
        x = self.embedding(pixels)
        step = Step.dense(x.shape[0], 0, x.shape[1], x.device)
        if self.turned:
            step = step.at(standing(rows, columns, x.device))
        reached = {0: x}
        for depth, layer in enumerate(self.layers[: max(depths)], start=1):
            x = layer(x, step, self._state(depth - 1, rows, columns))
            if depth in depths:
                reached[depth] = x
        return [reached[depth] for depth in depths]

    def _state(self, layer: int, rows: int, columns: int) -> MixerState:
        """Return what a layer attends with: everything, or each pane of the picture by itself."""
        mixer = self.spec.layers[layer].mixer
        if isinstance(mixer, Attention) and isinstance(mixer.reach, Pane):
            return Panes(mixer.reach, rows, columns)
        return _PASSING


class Reading(Block):
    """States (batch, tokens, width) → what they say together, (batch, width or twice that)."""

    norm: Norm | None
    transform: Transform | None

    def __init__(self, described: spec.Reading) -> None:
        super().__init__(described)
        self.of = described.of

    def forward(self, states: Tensor, before: int) -> Tensor:
        """Return the vector; `before` tokens stand before the patches."""
        read = []
        if self.of in ("summary", "both"):
            read.append(states[:, 0])
        if self.of in ("patches", "both"):
            read.append(states[:, before:].mean(dim=1))
        x = torch.cat(read, dim=-1)
        x = x if self.norm is None else self.norm(x)
        return x if self.transform is None else self.transform(x)


class AttentionPooling(Block):
    """States (batch, tokens, width) → what a learned query finds in them, (batch, width)."""

    probe: Tensor
    attention: CrossAttention
    norm: Norm
    feed_forward: Mlp

    def forward(self, states: Tensor, before: int) -> Tensor:
        """Return the vector; all tokens are looked at."""
        asked = self.probe.to(states.dtype).expand(len(states), 1, -1)
        x = self.attention(asked, Source(states), _PASSING)
        return (x + self.feed_forward(self.norm(x)))[:, 0]


class Sight(Block):
    """A tower and what makes one vector of a picture."""

    tower: VisionEncoder
    summary: Reading | AttentionPooling | None
    projection: Linear | None

    def __init__(self, described: spec.Sight) -> None:
        super().__init__(described)
        self.before = described.tower.embedding.before

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return states (batch, tokens, width), and vectors (batch, vector) if it makes such."""
        states = self.tower(pixels)
        if self.summary is None:
            return states, None
        vector = self.summary(states, self.before)
        return states, vector if self.projection is None else self.projection(vector)


class TextTower(Block):
    """Token ids (batch, length) → vectors (batch, vector)."""

    embedding: Embedding
    layers: nn.ModuleList
    norm: Norm
    projection: Linear

    def forward(self, tokens: Tensor, ends: Tensor | None = None) -> Tensor:
        """Return vectors of texts; `ends` (batch,) is where each has its last token.

        Unsaid, all end where the rows end. What follows an end is not seen where a token sees
        only what is before it.
        """
        step = Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        x = self.embedding(tokens, step)
        for layer in self.layers:
            x = layer(x, step, _PASSING)
        rows = torch.arange(len(x), device=x.device)
        last = x[:, -1] if ends is None else x[rows, ends]
        return self.projection(self.norm(last))
