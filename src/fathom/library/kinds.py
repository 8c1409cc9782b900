"""Which class of opened model has the tasks of which kind of spec."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from fathom.library.model import Model
from fathom.library.text import TextModel
from fathom.spec import (
    autoencoder,
    detector,
    generator,
    recursive,
    segmenter,
    vision,
    vision_language,
)
from fathom.spec.cross_vision_language import CrossVisionLanguage
from fathom.spec.diffusion import PictureMaker
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.model import Model as Spec
from fathom.spec.omni import Omni
from fathom.spec.speech import Speech
from fathom.spec.speech_language import SpeechLanguage
from fathom.spec.unet import ControlNet, Unet
from fathom.spec.work import Staged

# Spec type → "module:class" of what `open` makes of it; imported when first opened.
STAGED: Mapping[type, str] = {
    autoencoder.Autoencoder: "fathom.library.autoencoding:AutoencoderModel",
    PictureMaker: "fathom.library.imagining:PictureMakerModel",
    Unet: "fathom.library.denoising:DenoiserModel",
    ControlNet: "fathom.library.denoising:DenoiserModel",
    DiffusionTransformer: "fathom.library.denoising:DenoiserModel",
    Omni: "fathom.library.omni:OmniModel",
    Speech: "fathom.library.speech:SpeechModel",
    SpeechLanguage: "fathom.library.listening:ListeningModel",
    CrossVisionLanguage: "fathom.library.cross_seeing:CrossSeeingModel",
    vision_language.VisionLanguage: "fathom.library.seeing:SeeingModel",
    recursive.Recursive: "fathom.library.puzzles:PuzzleModel",
    generator.Generator: "fathom.library.generating:GeneratorModel",
    detector.Detector: "fathom.library.detecting:DetectorModel",
    segmenter.Segmenter: "fathom.library.segmenting:SegmenterModel",
    vision.PictureEncoder: "fathom.library.looking:PictureModel",
    vision.PictureText: "fathom.library.looking:PictureTextModel",
}


def kind(spec: Spec) -> type[Model]:
    """Return the class of an opened model with this spec."""
    if not isinstance(spec, Staged):
        return TextModel
    module, _, name = STAGED[type(spec)].partition(":")
    found: type[Model] = getattr(import_module(module), name)
    return found
