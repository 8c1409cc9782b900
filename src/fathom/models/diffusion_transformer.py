"""The denoiser of patches: a picture's stream and a text's, which attend together."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.bricks import Convolution, Linear
from fathom.blocks.build import Block
from fathom.blocks.joint import moved
from fathom.blocks.spatial import VectorMlp, waves
from fathom.spec import diffusion_transformer as spec


class DiffusionTransformer(Block):
    """Planes in, a prediction of the same size out.

    planes ─ patches + positions ─┐ picture ─ layer ─ layer ─ norm ─ patches ─► prediction
    text ─ map ───────────────────┘ text ─────┴───────┘
    """

    enter: Convolution
    positions: Tensor
    time: VectorMlp
    told: VectorMlp
    text: Linear
    layers: nn.ModuleList
    modulation: Linear
    leave: Linear

    def __init__(self, described: spec.DiffusionTransformer) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, planes: Tensor, moments: Tensor, prompt: Tensor, *, vector: Tensor) -> Tensor:
        """Return the prediction for planes (batch, channels, height, width).

        `moments` is (batch,), `prompt` (batch, tokens, text width), `vector` the text's own,
        (batch, n). Both sides must be multiples of the patch.
        """
        height, width = (side // self.spec.patch for side in planes.shape[2:])
        x = self.enter(planes).flatten(2).transpose(1, 2) + self._positions(height, width)
        moment = self.time(waves(moments, self.spec.waves)) + self.told(vector)
        text = self.text(prompt)
        for layer in self.layers:
            x, text = layer(x, text, moment)
        scale, shift = self.modulation(functional.silu(moment)).chunk(2, dim=1)
        return self._planes(self.leave(moved(x, scale, shift)), height, width)

    def _positions(self, height: int, width: int) -> Tensor:
        """Return the middle of the table of positions: (1, height × width, width)."""
        grid = self.spec.grid
        top, left = (grid - height) // 2, (grid - width) // 2
        table = self.positions.view(1, grid, grid, -1)
        return table[:, top : top + height, left : left + width].flatten(1, 2)

    def _planes(self, x: Tensor, height: int, width: int) -> Tensor:
        """Return patches (batch, height × width, patch² × channels) as planes."""
        patch = self.spec.patch
        x = x.view(x.shape[0], height, width, patch, patch, self.spec.outputs)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(
            x.shape[0], self.spec.outputs, height * patch, width * patch
        )
