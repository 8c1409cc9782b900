"""Models that read, see and hear, and write."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fathom.checkpoint.documents import read_json
from fathom.errors import SoundError
from fathom.library.seeing import SeeingModel
from fathom.spec.audio import FRAMES_PER_SECOND
from fathom.spec.omni import Omni

if TYPE_CHECKING:
    from fathom.generation.inserts import Placed
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.sound import Sound
    from fathom.inputs.sound_spectrogram import Hearing
    from fathom.models.omni import Omni as Module

LONGEST = 300  # seconds of a sound, where no file says


class OmniModel(SeeingModel):
    """A decoder in whose prompt pictures, videos and sound stand. Made by `open`."""

    spec: Omni

    @property
    def marks(self) -> Mapping[Kind, int]:
        return {**super().marks, "audio": self.spec.voice}

    def _seen(self, medium: Medium) -> Placed:
        return self._heard(medium.source) if medium.kind == "audio" else super()._seen(medium)

    def _heard(self, source: object) -> Placed:
        """Return what a sound becomes: a vector for each 40 ms."""
        import torch

        from fathom.generation.inserts import Placed
        from fathom.inputs.sound import read_sound
        from fathom.inputs.sound_spectrogram import log_mel

        hearing, voice = self._hearing, self.spec.voice
        samples = read_sound(cast("Sound", source), hearing.rate)
        frames = -(-len(samples) // hearing.hop)
        if len(samples) > hearing.samples or not self.spec.voiced(frames):
            raise SoundError(
                f"a sound of {len(samples) / hearing.rate:,.2f} s cannot be heard; this model takes"
                f" from 0.04 to {hearing.seconds} s at once: cut it into several"
            )
        silence = len(samples) + hearing.window  # after it, as beside shorter ones of a batch
        spectrogram = torch.from_numpy(log_mel(samples, hearing, least=silence)[:, :frames])
        heard = spectrogram.to(self.device, getattr(torch, self.dtype))
        with self._meter.stage("encoder"):
            vectors = cast("Module", self._module).hear(heard)
        return Placed([voice] * len(vectors), voice, vectors)

    @cached_property
    def _hearing(self) -> Hearing:
        from fathom.inputs.sound_spectrogram import Hearing

        file = self._description.folder / "preprocessor_config.json"
        stated = read_json(file) if file.is_file() else {}
        seconds = stated.get("chunk_length")
        seconds = seconds if type(seconds) is int and seconds > 0 else LONGEST
        return Hearing.published(stated, self.spec.encoder.bands, seconds * FRAMES_PER_SECOND)
