"""From the spec of a whole architecture to the module that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import torch
from torch import nn

from fathom.spec import (
    autoencoder,
    decoder,
    detector,
    encoder,
    encoder_decoder,
    generator,
    recursive,
    segmenter,
    vision,
    vision_language,
)
from fathom.spec.cross_vision_language import CrossVisionLanguage
from fathom.spec.diffusion import PictureMaker
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.model import Model
from fathom.spec.omni import Omni
from fathom.spec.speech import Speech
from fathom.spec.speech_language import SpeechLanguage
from fathom.spec.unet import ControlNet, Unet

# Spec type → "module:class" of the architecture; imported when first assembled.
ARCHITECTURES: Mapping[type, str] = {
    autoencoder.Autoencoder: "fathom.models.autoencoder:Autoencoder",
    decoder.Decoder: "fathom.models.decoder:Decoder",
    generator.Generator: "fathom.models.generator:Generator",
    detector.Detector: "fathom.models.detector:Detector",
    encoder.Encoder: "fathom.models.encoder:Encoder",
    encoder_decoder.EncoderDecoder: "fathom.models.encoder_decoder:EncoderDecoder",
    PictureMaker: "fathom.models.diffusion:PictureMaker",
    Unet: "fathom.models.unet:Unet",
    ControlNet: "fathom.models.unet:ControlNet",
    DiffusionTransformer: "fathom.models.diffusion_transformer:DiffusionTransformer",
    Omni: "fathom.models.omni:Omni",
    Speech: "fathom.models.speech:Speech",
    SpeechLanguage: "fathom.models.speech_language:SpeechLanguage",
    CrossVisionLanguage: "fathom.models.cross_vision_language:CrossVisionLanguage",
    vision_language.VisionLanguage: "fathom.models.vision_language:VisionLanguage",
    recursive.Recursive: "fathom.models.recursive:Recursive",
    segmenter.Segmenter: "fathom.models.segmenter:Segmenter",
    vision.PictureEncoder: "fathom.models.vision:PictureEncoder",
    vision.PictureText: "fathom.models.vision:PictureText",
}


def assemble(spec: Model) -> nn.Module:
    """Return the module that a spec describes, without memory for its parameters."""
    module, _, name = ARCHITECTURES[type(spec)].partition(":")
    with torch.device("meta"):
        model: nn.Module = getattr(import_module(module), name)(spec)
    return model
