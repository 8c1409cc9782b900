"""One segmenter to be proven: a tiny random checkpoint of the reference's own making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from parity.case import randomise


@dataclass(frozen=True)
class SegmenterCase:
    """A variant of a segmenter, by the arguments of the configurations of its parts."""

    model_type: str
    label: str
    vision: Mapping[str, object] = field(default_factory=dict)
    prompt: Mapping[str, object] = field(default_factory=dict)
    decoder: Mapping[str, object] = field(default_factory=dict)
    tolerance: float = 1e-4  # relative to the largest value

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.label}"

    @property
    def config(self) -> dict[str, dict[str, object]]:
        """The whole configuration, small where nothing is said."""
        return {
            "vision_config": {**VISION, **self.vision},
            "prompt_encoder_config": {**PROMPT, **self.prompt},
            "mask_decoder_config": {**DECODER, **self.decoder},
        }


VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 8,
    "window_size": 3,
    "global_attn_indexes": [1],
    "output_channels": 16,
    "num_pos_feats": 8,
    "mlp_dim": 48,
    "layer_norm_eps": 1e-4,
}
PROMPT = {
    "hidden_size": 16,
    "image_size": 64,
    "patch_size": 8,
    "mask_input_channels": 8,
    "layer_norm_eps": 1e-4,
}
DECODER = {
    "hidden_size": 16,
    "mlp_dim": 24,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 12,
    "layer_norm_eps": 1e-4,
}


@dataclass(frozen=True)
class SegmenterReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module

    def answers(self, pixels: Tensor, *, several: bool, **prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (prompts, masks, rows, columns) and quality of prompts about a picture."""
        with torch.inference_mode():
            found = self.model(pixel_values=pixels, multimask_output=several, **prompts)
        return found.pred_masks[0], found.iou_scores[0]


def build_segmenter(case: SegmenterCase, folder: Path) -> SegmenterReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    from transformers import SamConfig, SamModel

    torch.manual_seed(len(case.id))
    model = SamModel(SamConfig(**case.config))
    randomise(model)
    model.eval().save_pretrained(folder)
    return SegmenterReference(folder, model)
