"""Models that see and write."""

from __future__ import annotations

from fathom.library.staged import StagedModel
from fathom.spec.vision_language import VisionLanguage


class SeeingModel(StagedModel):
    """A decoder in whose prompt pictures stand. Made by `open`."""

    spec: VisionLanguage
