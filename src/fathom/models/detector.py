"""The detector: a picture and a text in, boxes out, with a score for every token of the text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fathom.blocks.build import Block
from fathom.blocks.detecting import Boxes, PlacePositions, Places, QueryDecoder, standing
from fathom.blocks.grid import as_places
from fathom.blocks.phrases import PhraseReader, Phrases
from fathom.blocks.windowed import WindowTower
from fathom.spec import detector as spec


@dataclass(frozen=True)
class View:
    """What is seen: states (batch, places, width), what tells places where they lie, the places."""

    states: Tensor
    lie: Tensor
    of: Places


class Detector(Block):
    """What is seen and what is read meet in layers; queries find boxes in both."""

    vision: WindowTower
    levels: nn.ModuleList
    positions: PlacePositions
    level_marks: Tensor
    text: PhraseReader
    enhancer: nn.ModuleList
    decoder: QueryDecoder

    def __init__(self, described: spec.Detector) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, pixels: Tensor, tokens: Tensor) -> Boxes:
        """Return boxes in pictures (batch, channels, height, width) for texts (batch, tokens)."""
        seen, read, of = self.understood(pixels, tokens)
        return self.decoder(seen, read, of)

    def understood(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Places]:
        """Return states of places and of tokens once both saw one another, and the places."""
        view = self.seen(pixels)
        return *self.enhanced(view, *self.text(tokens)), view.of

    def seen(self, pixels: Tensor) -> View:
        """Return what is seen in pictures (batch, channels, height, width), before any text."""
        maps = self._maps(pixels)
        grids = [(each.shape[2], each.shape[3]) for each in maps]
        of = Places.of(grids, pixels.device)
        seen = torch.cat([as_places(each) for each in maps], dim=1)
        lie = torch.cat([self.positions(grid, pixels.device) for grid in grids])
        return View(seen, lie.to(seen.dtype) + self.level_marks[of.levels], of)

    def enhanced(self, view: View, read: Tensor, phrases: Phrases) -> tuple[Tensor, Tensor]:
        """Return states of places and of tokens (batch, tokens, width) that saw one another."""
        stand = standing(phrases.positions, read.shape[2]).to(read.dtype)
        seen = view.states
        for layer in self.enhancer:
            seen, read = layer(seen, read, phrases.together, stand, view.lie, view.of)
        return seen, read

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """Return a map (batch, width, rows, columns) for each level, finest first."""
        read = self.vision(pixels)
        maps: list[Tensor] = []
        for number, level in enumerate(self.levels):
            before = read[number] if number < len(read) else read[-1]
            maps.append(level(maps[-1] if number > len(read) else before))
        return maps
