"""One tower to be proven: a tiny random checkpoint of the reference's own making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from parity.case import randomise


@dataclass(frozen=True)
class VisionCase:
    """A variant of a tower, by the reference's class and the arguments of its configuration."""

    model_type: str
    label: str
    architecture: str  # the reference's class, which says what head there is
    config: Mapping[str, object]
    picture: tuple[int, int] = (32, 32)  # (height, width) in pixels
    compares: bool = False  # with texts of its own tower
    tolerance: float = 1e-4  # relative to the largest value
    pooler: bool | None = None  # whether the file of a trunk has one, where that is a choice
    lost: tuple[str, ...] = ()  # what the ends of tensors are that saving leaves out, unread

    @property
    def id(self) -> str:
        return f"{self.model_type}-{self.architecture.split('For')[-1]}-{self.label}"


@dataclass(frozen=True)
class VisionReference:
    """The independent implementation, and the folder that it saved."""

    folder: Path
    model: nn.Module
    choice: Mapping[str, object]  # beside the configuration

    def outputs(self, *given: Tensor, stretched: bool = False) -> dict[str, Tensor]:
        """Return what the model gives of pictures, or of pictures and texts, by name."""
        return outputs(self.model, *given, stretched=stretched)

    def opened(self, folder: Path) -> nn.Module:
        """Return the reference opened from another folder."""
        return type(self.model).from_pretrained(folder, **self.choice).eval()


def outputs(model: nn.Module, *given: Tensor, stretched: bool = False) -> dict[str, Tensor]:
    """Return a model's results by our names: states, vectors, scores."""
    named = dict(zip(("pixel_values", "input_ids"), given, strict=False))
    named |= {"interpolate_pos_encoding": True} if stretched else {}
    with torch.inference_mode():
        result = model(**named)
    theirs = {
        "states": "last_hidden_state",
        "vectors": "image_embeds" if len(given) == 1 and "image_embeds" in result else None,
        "scores": "logits" if "logits" in result else "logits_per_image",
    }
    theirs["vectors"] = theirs["vectors"] or "pooler_output"
    found = {ours: result.get(name) for ours, name in theirs.items()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def build_vision(case: VisionCase, folder: Path) -> VisionReference:
    """Make a tiny random checkpoint and save it as the reference library does."""
    import transformers

    torch.manual_seed(len(case.id))
    model_class = getattr(transformers, case.architecture)
    choice = {} if case.pooler is None else {"add_pooling_layer": case.pooler}
    model = model_class(model_class.config_class(**case.config), **choice)
    randomise(model)
    model.eval().save_pretrained(folder)
    return VisionReference(folder, model, choice)
