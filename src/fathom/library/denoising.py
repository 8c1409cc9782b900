"""A denoiser by itself: a part of a pipeline, opened alone to look at or to compare."""

from __future__ import annotations

from fathom.library.staged import StagedModel


class DenoiserModel(StagedModel):
    """A denoiser, or a net that steers one. Made by `open`; its `module` is what computes."""
