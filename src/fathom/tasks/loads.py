"""Work for models in stages that are to be measured: one pass of each stage, on made-up input.

A load holds what one stage leaves for the next, as an answer would, so that the memory of the
whole is the memory of a request. Numbers are random and the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from fathom.errors import UnsupportedTaskError
from fathom.spec import (
    autoencoder,
    detector,
    diffusion,
    generator,
    recursive,
    segmenter,
    vision,
    vision_language,
)
from fathom.spec.cross_vision_language import CrossVisionLanguage
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.omni import Omni
from fathom.spec.speech import Speech
from fathom.spec.speech_language import SpeechLanguage
from fathom.spec.unet import ControlNet, Unet
from fathom.spec.work import Staged, Work

if TYPE_CHECKING:
    from fathom.tasks.transcribe_writers import SpeechWriter

SEED = 11
Passes: TypeAlias = Mapping[str, Callable[[], object]]  # by stage, in the order of the spec's


class Opened(Protocol):
    """What is needed of an opened model."""

    @property
    def spec(self) -> Staged: ...

    @property
    def dtype(self) -> str: ...

    @property
    def module(self) -> torch.nn.Module: ...

    @property
    def device(self) -> torch.device: ...


@runtime_checkable
class Speaking(Protocol):
    """A model of speech, whose text need not be written by its modules."""

    @property
    def writer(self) -> SpeechWriter: ...


class Made:
    """Made-up input of one type on one device."""

    def __init__(self, dtype: str, device: torch.device) -> None:
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.device = device

    def numbers(self, *shape: int) -> Tensor:
        """Return random numbers."""
        chance = torch.Generator().manual_seed(SEED)
        return torch.randn(shape, generator=chance).to(self.device, self.dtype)

    def tokens(self, vocabulary: int, *shape: int) -> Tensor:
        """Return random token ids."""
        chance = torch.Generator().manual_seed(SEED)
        return torch.randint(vocabulary, shape, generator=chance).to(self.device)


# Spec type → "module:function" of what makes its passes: (module, work, made) → passes.
LOADS: Mapping[type, str] = {
    autoencoder.Autoencoder: "fathom.tasks.loads_drawing:autoencoder",
    diffusion.PictureMaker: "fathom.tasks.loads_drawing:picture_maker",
    Unet: "fathom.tasks.loads_drawing:denoiser",
    ControlNet: "fathom.tasks.loads_drawing:guide",
    DiffusionTransformer: "fathom.tasks.loads_drawing:denoiser",
    vision.PictureEncoder: "fathom.tasks.loads_looking:picture_encoder",
    vision.PictureText: "fathom.tasks.loads_looking:picture_text",
    segmenter.Segmenter: "fathom.tasks.loads_looking:segmenter",
    detector.Detector: "fathom.tasks.loads_looking:detector",
    generator.Generator: "fathom.tasks.loads_drawing:generator",
    recursive.Recursive: "fathom.tasks.loads_looking:recursive",
    Speech: "fathom.tasks.loads_writing:speech",
    SpeechLanguage: "fathom.tasks.loads_writing:speech_language",
    vision_language.VisionLanguage: "fathom.tasks.loads_writing:vision_language",
    Omni: "fathom.tasks.loads_writing:omni",
    CrossVisionLanguage: "fathom.tasks.loads_writing:cross_vision_language",
}


def passes(model: Opened, work: Work) -> Passes:
    """Return one pass of each stage of some work, settled, by the names of the stages.

    Raises:
        UnsupportedTaskError: for a kind of model that is not measured by its stages.
    """
    named = LOADS.get(type(model.spec))
    if named is None:
        raise UnsupportedTaskError(
            f"models of the class {model.spec.about.model_class} are not measured stage by stage;"
            " `fathom fit` predicts them"
        )
    module, _, function = named.partition(":")
    make = getattr(import_module(module), function)
    runner = model.writer if isinstance(model, Speaking) else model.module
    found: Passes = make(runner, work, Made(model.dtype, model.device))
    return found
