"""Cases that stand in their tables by label alone, as rows of docs/support.md (`support.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parity import (
    cases_autoencoders,
    cases_cross_vision,
    cases_denoisers,
    cases_omni,
    cases_views,
    cases_vision_language,
    stylegan2_reference,
    trm_reference,
)


@dataclass(frozen=True)
class Labelled:
    """A variant of an architecture; what it is made of stands in the table of its test."""

    model_type: str  # or the ``_class_name`` of a component or pipeline
    label: str
    notes: str = ""

    @property
    def id(self) -> str:
        return case_id(self.model_type, self.label)


def case_id(model_type: str, label: str) -> str:
    """Return what the `measured` fixture is told about a labelled case."""
    return f"{model_type}-{label}"


# The pipelines that `cases_pipelines.py` builds, and the class of the reference that each is.
PIPELINES: Mapping[str, str] = {
    "stable diffusion": "StableDiffusionPipeline",
    "consistent": "LatentConsistencyModelPipeline",
    "filling": "StableDiffusionInpaintPipeline",
    "steered": "StableDiffusionControlNetPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "stable diffusion 3": "StableDiffusion3Pipeline",
}
DENOISERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "UNet2DConditionModel": cases_denoisers.UNETS,
    "ControlNetModel": cases_denoisers.CONTROL_NETS,
    "SD3Transformer2DModel": cases_denoisers.TRANSFORMERS,
}
SPLIT = "as its author keeps it"  # a file for each half


def labelled(table: Mapping[str, Iterable[str]], notes: str = "") -> list[Labelled]:
    """Return the cases of a table: labels by architecture."""
    return [Labelled(kind, label, notes) for kind, labels in table.items() for label in labels]


# The name of a table on the page → its cases.
LABELLED: Mapping[str, Sequence[Labelled]] = {
    "vision_language": [
        *labelled({"llava": cases_vision_language.CASES, "mllama": cases_cross_vision.CASES}),
        *(Labelled(case.model_type, label) for label, case in cases_views.CASES.items()),
        *labelled({"qwen2_5_omni_thinker": cases_omni.CASES}),
        Labelled("qwen2_5_omni", cases_omni.WHOLE, "what speaks is not read"),
    ],
    "generators": labelled(
        {"stylegan2": stylegan2_reference.CASES},
        "reference written in the tests from the papers",
    ),
    "recursive": labelled(
        {"trm": trm_reference.CASES}, "reference written in the tests from the paper"
    ),
    "autoencoders": [
        *labelled(cases_autoencoders.CASES),
        Labelled("taesd", SPLIT, "the reference's AutoencoderTiny in two files"),
    ],
    "denoisers": labelled(DENOISERS),
    "pipelines": labelled(
        {kind: [label] for label, kind in PIPELINES.items()},
        "a seed's picture, step for step; the error is beyond the rounding to bytes",
    ),
}
