"""A pipeline's components side by side; what drives them from text to picture is a task."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from fathom.blocks.build import build
from fathom.blocks.prompting import ClipText, Read
from fathom.blocks.stack import Stack
from fathom.blocks.state import Step
from fathom.models.autoencoder import Autoencoder
from fathom.models.diffusion_transformer import DiffusionTransformer
from fathom.models.unet import ControlNet, Unet
from fathom.spec import diffusion as spec
from fathom.spec import unet


class PictureMaker(nn.Module):
    """Text encoders, a denoiser, a net that steers it, an autoencoder: each a module of its own."""

    denoiser: Unet | DiffusionTransformer
    autoencoder: Autoencoder
    guide: ControlNet | None

    def __init__(self, described: spec.PictureMaker) -> None:
        super().__init__()
        self.spec = described
        for reader in described.readers:
            setattr(self, reader.name, build(reader.encoder))
        denoiser = described.denoiser
        of_planes = isinstance(denoiser, unet.Unet)
        self.denoiser = Unet(denoiser) if of_planes else DiffusionTransformer(denoiser)  # type: ignore[arg-type]
        self.autoencoder = Autoencoder(described.autoencoder)
        self.guide = None if described.guide is None else ControlNet(described.guide)

    @torch.inference_mode()
    def read(self, reader: spec.Reader, tokens: Tensor) -> Read:
        """Return what a text encoder makes of token ids (batch, tokens)."""
        module = getattr(self, reader.name)
        if isinstance(module, ClipText):
            return cast(Read, module(tokens))
        stack = cast(Stack, module)
        step = Step.dense(tokens.shape[0], 0, tokens.shape[1], tokens.device)
        if stack.embedding.tokens is None:
            raise TypeError("a text encoder of a pipeline has a table of its own")
        found = stack(tokens, step, stack.embedding.tokens)
        return Read(found, found, found[:, 0])
