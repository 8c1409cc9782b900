"""One detector to be proven: a tiny random checkpoint of the reference's own making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from parity.case import randomise


@dataclass(frozen=True)
class DetectorCase:
    """A variant of a detector, by the arguments of its configuration and of its towers'."""

    model_type: str
    label: str
    config: Mapping[str, object] = field(default_factory=dict)
    tower: Mapping[str, object] = field(default_factory=dict)
    text: Mapping[str, object] = field(default_factory=dict)
    tolerance: float = 1e-4  # relative to the largest value

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.label}"

    @property
    def whole(self) -> dict[str, object]:
        """The whole configuration, small where nothing is said."""
        towers = {
            "backbone_config": {**TOWER, **self.tower},
            "text_config": {**TEXT, **self.text},
        }
        return {**SMALL, **self.config, **towers}


SMALL: Mapping[str, object] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "num_queries": 10,
    "max_text_len": 24,
}
TOWER: Mapping[str, object] = {
    "model_type": "swin",
    "embed_dim": 8,
    "depths": [2, 2, 2, 2],
    "num_heads": [2, 2, 2, 4],
    "window_size": 3,
    "image_size": 64,
    "patch_size": 4,
    "out_indices": [2, 3, 4],
}
TEXT: Mapping[str, object] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 1032,  # the ends of phrases are numbers 101 to 1029
    "max_position_embeddings": 40,
}
LARGEST = (140, 167)  # (height, width): no multiple of a patch or a window


@dataclass(frozen=True)
class DetectorReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module

    def found(self, pixels: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Return what comes out on the way and at the end, by our names."""
        with torch.inference_mode():
            out = self.model(pixel_values=pixels, input_ids=tokens)
        return {
            "seen": out.encoder_last_hidden_state_vision,
            "read": out.encoder_last_hidden_state_text,
            "first": out.init_reference_points,
            "states": out.last_hidden_state,
            "scores": out.logits[..., : tokens.shape[1]],  # what follows stands for no token
            "boxes": out.pred_boxes,
        }


def build_detector(case: DetectorCase, folder: Path) -> DetectorReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    torch.manual_seed(len(case.id))
    model = GroundingDinoForObjectDetection(GroundingDinoConfig(**case.whole))
    randomise(model)
    model.tie_weights()
    model.eval().save_pretrained(folder)
    return DetectorReference(folder, model)
