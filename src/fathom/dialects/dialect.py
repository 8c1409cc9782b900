"""What a dialect is, and the table that finds one by the name that a checkpoint states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Generic, TypeVar

from fathom.dialects.config import Config
from fathom.dialects.not_yet import recognised
from fathom.dialects.rules import Rule
from fathom.errors import UnknownArchitectureError, nearest
from fathom.spec.model import Model

S = TypeVar("S", bound=Model)  # what kind of spec a dialect makes, and its rules take

ENTRY_POINTS = "fathom.dialects"  # a package may bring its own: model_type = "module:DIALECT"


@dataclass(frozen=True)
class Dialect(Generic[S]):
    """A translation: a publisher's configuration becomes a spec, their tensor names ours.

    `prefix` is what the names of a whole model begin with and those of its bare trunk lack.
    `gguf_rules` come before the table that all GGUF files share (`dialects/gguf.py`). `weights`
    is what its publisher's tools call the file of weights that they look for.
    """

    name: str
    read: Callable[[Config], S]
    rules: Callable[[S], Sequence[Rule]]
    prefix: str = ""
    gguf_rules: Callable[[S], Sequence[Rule]] | None = None
    weights: str = "model"


# A checkpoint's ``model_type`` → the file that translates it. A family shares a file.
FAMILIES: Mapping[str, str] = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen",
    "qwen3": "qwen",
    "mimo": "qwen",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3_text": "gemma",
    "phi": "phi",
    "phi3": "phi",
    "olmo": "olmo",
    "olmo2": "olmo",
    "cohere": "cohere",
    "cohere2": "cohere",
    "granite": "granite",
    "nemotron": "nemotron",
    "ernie4_5": "ernie",
    "smollm3": "smollm",
    "stablelm": "stablelm",
    "mamba": "mamba",
    "falcon_mamba": "mamba",
    "mamba2": "mamba2",
    "jamba": "jamba",
    "qwen3_next": "qwen3_next",
    "gpt2": "gpt2",
    "gpt_bigcode": "gpt_bigcode",
    "gpt_neo": "gpt_neo",
    "gpt_neox": "gpt_neox",
    "gptj": "gptj",
    "codegen": "codegen",
    "starcoder2": "starcoder2",
    "bloom": "bloom",
    "falcon": "falcon",
    "mpt": "mpt",
    "opt": "opt",
    "openelm": "openelm",
    "biogpt": "biogpt",
    "mixtral": "mixtral",
    "olmoe": "olmoe",
    "qwen2_moe": "qwen_moe",
    "qwen3_moe": "qwen_moe",
    "ernie4_5_moe": "ernie_moe",
    "granitemoe": "granite_moe",
    "dbrx": "dbrx",
    "phimoe": "phimoe",
    "llama4_text": "llama4",
    "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek",
    "grok-1": "grok",
    "gpt_oss": "gpt_oss",
    "hunyuan_v1_dense": "hunyuan",
    "hunyuan_v1_moe": "hunyuan",
    "llava": "llava",
    "idefics3": "idefics3",
    "smolvlm": "idefics3",
    "paligemma": "gemma_vision",
    "gemma3": "gemma_vision",
    "qwen2_vl": "qwen_vl",
    "qwen2_5_vl": "qwen_vl",
    "mllama": "mllama",
    "qwen2_5_omni": "qwen2_5_omni",
    "qwen2_5_omni_thinker": "qwen2_5_omni",
    "trm": "trm",
    "vit": "vit",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2_registers",
    "clip": "clip",
    "clip_vision_model": "clip",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
    "sam": "sam",
    "grounding-dino": "grounding_dino",
    "stylegan2": "stylegan2",
    "bert": "bert",
    "roberta": "roberta",
    "xlm-roberta": "roberta",
    "distilbert": "distilbert",
    "modernbert": "modernbert",
    "t5": "t5",
    "mt5": "t5",
    "bart": "bart",
    "mbart": "bart",
    "pegasus": "bart",
    "marian": "bart",
    "whisper": "whisper",
    "qwen2_audio": "qwen2_audio",
}

# What makes pictures has a ``_class_name`` instead: of a component, or of a pipeline of several.
COMPONENTS: Mapping[str, str] = {
    "AutoencoderKL": "autoencoder_kl",
    "AutoencoderTiny": "autoencoder_tiny",
    "taesd": "taesd",
    "StableDiffusionPipeline": "diffusion",
    "StableDiffusionImg2ImgPipeline": "diffusion",
    "StableDiffusionInpaintPipeline": "diffusion",
    "StableDiffusionControlNetPipeline": "diffusion",
    "StableDiffusionXLPipeline": "diffusion",
    "StableDiffusionXLImg2ImgPipeline": "diffusion",
    "StableDiffusionXLInpaintPipeline": "diffusion",
    "StableDiffusionXLControlNetPipeline": "diffusion",
    "StableDiffusion3Pipeline": "diffusion",
    "StableDiffusion3Img2ImgPipeline": "diffusion",
    "StableDiffusion3InpaintPipeline": "diffusion",
    "LatentConsistencyModelPipeline": "diffusion",
    "LatentConsistencyModelImg2ImgPipeline": "diffusion",
    "UNet2DConditionModel": "unet",
    "ControlNetModel": "controlnet",
    "SD3Transformer2DModel": "diffusion_transformer",
}


def known() -> tuple[str, ...]:
    """Return every ``model_type`` that can be opened, ours and those of installed extensions."""
    return tuple(sorted({*FAMILIES, *COMPONENTS, *_extensions()}))


@cache
def _extensions() -> Mapping[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def find(model_type: str) -> Dialect[Model]:
    """Return the dialect of a ``model_type``; its file is imported now, not before.

    Raises:
        UnknownArchitectureError: naming what it is, or else the nearest ones.
    """
    file = FAMILIES.get(model_type) or COMPONENTS.get(model_type)
    if file is not None:
        module, attribute = f"fathom.dialects.{file}", "DIALECT"
    elif model_type in _extensions():
        module, _, attribute = _extensions()[model_type].partition(":")
    else:
        raise _unknown(model_type)
    found = getattr(import_module(module), attribute)
    if not isinstance(found, Dialect):
        raise UnknownArchitectureError(
            f"'{module}:{attribute}' is no fathom Dialect; correct the entry point"
        )
    return found


def _unknown(model_type: str) -> UnknownArchitectureError:
    """Return what there is to say of an architecture without a dialect."""
    told = recognised(model_type)
    if told is not None:
        return UnknownArchitectureError(
            f"'{model_type}' is {told[1]}, which Fathom recognises and does not run yet;"
            f" `fathom classes {told[0]}` tells about its class"
        )
    return UnknownArchitectureError(
        f"There is no dialect for the architecture '{model_type}'."
        f"{nearest(model_type, known())} docs/support.md lists the {len(known())} there are;"
        " docs/adding-a-dialect.md says how to add one."
    )
