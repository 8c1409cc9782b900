"""Made-up work for what makes pictures: autoencoders, denoisers, generators, whole pipelines."""

from __future__ import annotations

from functools import partial
from math import ceil

from torch import Tensor

from fathom.blocks.pyramid import channels_last
from fathom.models.autoencoder import Autoencoder
from fathom.models.diffusion import PictureMaker
from fathom.models.diffusion_transformer import DiffusionTransformer
from fathom.models.generator import Generator
from fathom.models.unet import ControlNet, Unet
from fathom.spec.unet import Descent
from fathom.spec.work import Work
from fathom.tasks.loads import Made, Passes

MOMENT = 5.0


def autoencoder(module: Autoencoder, work: Work, made: Made) -> Passes:
    """Pictures there, and latents back."""
    spec = channels_last(module).spec
    height, width = work.height or spec.size, work.width or spec.size
    picture = made.numbers(work.batch, spec.channels, height, width)
    small = ceil(height / spec.factor), ceil(width / spec.factor)
    latents = made.numbers(work.batch, spec.latents, *small)
    return {"encoder": lambda: module.encode(picture), "decoder": lambda: module.decode(latents)}


def denoiser(module: Unet | DiffusionTransformer, work: Work, made: Made) -> Passes:
    """One step, with and without the prompt where it is guided."""
    spec = channels_last(module).spec
    height, width = work.height or spec.size, work.width or spec.size
    rows = work.batch * (2 if work.guided else 1)
    planes = made.numbers(rows, spec.channels, height, width)
    moments = made.numbers(rows).float() * 0 + MOMENT
    prompt = made.numbers(rows, work.tokens or spec.tokens, spec.text_width)
    if isinstance(module, DiffusionTransformer):
        vector = made.numbers(rows, module.spec.told.inputs)
        step = partial(module, planes, moments, prompt, vector=vector)
    else:
        step = partial(module, planes, moments, prompt, **_told(module.spec.descent, rows, made))
    return {"denoiser": step}


def guide(module: ControlNet, work: Work, made: Made) -> Passes:
    """One step of a net that steers."""
    spec = channels_last(module).spec
    height, width = work.height or spec.size, work.width or spec.size
    rows = work.batch * (2 if work.guided else 1)
    planes = made.numbers(rows, spec.descent.enter.inputs, height, width)
    moments = made.numbers(rows).float() * 0 + MOMENT
    prompt = made.numbers(rows, work.tokens or spec.tokens, spec.text_width)
    picture = made.numbers(rows, 3, 8 * height, 8 * width)
    told = _told(spec.descent, rows, made)
    return {"guide": lambda: module(planes, moments, prompt, picture, **told)}


def _told(descent: Descent, rows: int, made: Made) -> dict[str, Tensor]:
    """Return what a denoiser is told beside moment and text."""
    found = {}
    if descent.told is not None:
        found["vector"] = made.numbers(rows, descent.told.vector)
        found["sizes"] = made.numbers(rows, descent.told.sizes).float()
    if descent.time.condition is not None:
        found["condition"] = made.numbers(rows, descent.time.condition)
    return found


def generator(module: Generator, work: Work, made: Made) -> Passes:
    """A vector mapped, and the picture of its style."""
    mapping = module.spec.mapping
    latent = made.numbers(work.batch, mapping.latent)
    kinds = made.numbers(work.batch, mapping.kinds) if mapping.kinds else None
    style = module.mapping(latent, kinds)
    return {
        "mapping": lambda: module.mapping(latent, kinds),
        "drawing": lambda: module.drawn(style),
    }


def picture_maker(module: PictureMaker, work: Work, made: Made) -> Passes:
    """Texts read, one step, and the picture of latents."""
    spec = module.spec
    factor = spec.autoencoder.factor
    height, width = work.height or spec.side, work.width or spec.side
    texts = work.batch * (2 if work.guided else 1)
    read = {
        reader.name: partial(
            module.read,
            reader,
            made.tokens(reader.encoder.embedding.vocabulary, texts, reader.tokens),
        )
        for reader in spec.readers
    }
    planes = Work(
        batch=work.batch,
        height=ceil(height / factor),
        width=ceil(width / factor),
        tokens=spec.tokens,
        guided=work.guided,
    )
    steered = {} if module.guide is None else guide(module.guide, planes, made)
    back = autoencoder(module.autoencoder, Work(work.batch, height, width), made)
    return {
        **read,
        **steered,
        **denoiser(module.denoiser, planes, made),
        "decoder": back["decoder"],
    }
