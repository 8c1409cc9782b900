"""LoRA adapters of pipelines that make pictures: changes of their parts' weights, by name.

One file of safetensors, as diffusers, PEFT or kohya's scripts name what is in it. Hu et al., 2021
(arXiv 2106.09685); for consistency models: Luo et al., 2023 (arXiv 2311.05556).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fathom.checkpoint.contents import Contents
from fathom.checkpoint.headers import read_headers
from fathom.errors import TensorMismatchError

# How a pair of factors and their scale end, by who wrote them: down, up, scale.
ENDINGS = (
    (".lora_A.weight", ".lora_B.weight", ".alpha"),
    (".lora.down.weight", ".lora.up.weight", ".alpha"),
    (".lora_down.weight", ".lora_up.weight", ".alpha"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight", ".alpha"),
)
# kohya's name of a part → the folder's; its modules have underscores in place of points.
PARTS: Mapping[str, str] = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
}
_PROCESSOR = re.compile(r"\.processor\.(to_\w+)_lora\b|\.processor\.(to_\w+)$")
SHOWN = 4  # names listed in an error


@dataclass(frozen=True)
class PictureChange:
    """One weight's change: the publisher's tensor, its factors, and the scale where one is kept."""

    tensor: str  # with the part's name first, such as "unet.conv_in.weight"
    down: str
    up: str
    scale: str | None


def read_changes(path: Path, known: Iterable[str]) -> tuple[Contents, tuple[PictureChange, ...]]:
    """Return the header of an adapter's file and what it changes among `known` tensors.

    Raises:
        TensorMismatchError: when something in it belongs to no weight of this pipeline.
        NotFoundError, ModelFileError: as `read_headers`.
    """
    contents = read_headers(path)
    names = [name for name in known if name.endswith(".weight")]
    flattened = {_flat(name.removesuffix(".weight")): name for name in names}
    changes, used = [], set()
    for down in contents.tensors:
        pair = _pair(down, contents)
        if pair is None:
            continue
        module, up, scale = pair
        tensor = flattened.get(_flat(_spelled(module)))
        if tensor is not None:
            changes.append(PictureChange(tensor, down, up, scale))
            used.update({down, up} | ({scale} if scale else set()))
    left = [name for name in contents.tensors if name not in used]
    if left or not changes:
        raise TensorMismatchError(_complaint(path, left))
    return contents, tuple(changes)


def _pair(down: str, contents: Contents) -> tuple[str, str, str | None] | None:
    """Return the module, the other factor and the scale that belong to a first factor."""
    for first, second, scaled in ENDINGS:
        if down.endswith(first):
            module = down.removesuffix(first)
            up, scale = module + second, module + scaled
            if up in contents.tensors:
                return module, up, scale if scale in contents.tensors else None
    return None


def _spelled(module: str) -> str:
    """Return a module with its part's name first, whoever named it."""
    for theirs, part in PARTS.items():
        if module.startswith(theirs):
            return f"{part}.{module.removeprefix(theirs)}"
    found = _PROCESSOR.sub(lambda match: f".{match[1] or match[2]}", module)
    return re.sub(r"\.to_out$", ".to_out.0", found)


def _flat(name: str) -> str:
    """Return a name by which all spellings are compared: points are underscores."""
    return name.replace(".", "_").replace("text_model_", "")


def _complaint(path: Path, left: Sequence[str]) -> str:
    if not left:
        return f"The adapter {path.name} changes nothing; it holds no pair of factors"
    shown = ", ".join(left[:SHOWN]) + (f" … and {len(left) - SHOWN} more" * (len(left) > SHOWN))
    return (
        f"The adapter {path.name} does not fit this pipeline: {len(left)} of its tensors belong to"
        f" no weight ({shown}). Open the model that it was trained on"
    )
