"""A model that listens and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from fathom.errors import SoundError
from fathom.library.answering import AnsweringModel
from fathom.library.processors import read_hearing
from fathom.spec.speech_language import SpeechLanguage

if TYPE_CHECKING:
    from fathom.generation.inserts import Placed
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.sound import Sound
    from fathom.inputs.sound_spectrogram import Hearing
    from fathom.models.speech_language import SpeechLanguage as Module


class ListeningModel(AnsweringModel):
    """A decoder in whose prompt sound stands. Made by `open`."""

    spec: SpeechLanguage

    @property
    def marks(self) -> Mapping[Kind, int]:
        return {"audio": self.spec.placeholder}

    def _placed(self, media: Sequence[Medium]) -> list[Placed]:
        import torch

        from fathom.generation.inserts import Placed
        from fathom.inputs.sound import read_sound
        from fathom.inputs.sound_spectrogram import log_mel

        hearing, placeholder = self._hearing, self.spec.placeholder
        spectrograms, frames = [], []
        for medium in media:
            samples = read_sound(cast("Sound", medium.source), hearing.rate)
            if len(samples) > hearing.samples:
                raise SoundError(
                    f"a sound of {len(samples) / hearing.rate:,.1f} s is longer than the"
                    f" {hearing.seconds} s that this model hears at once; cut it into several"
                )
            spectrograms.append(torch.from_numpy(log_mel(samples, hearing, least=hearing.samples)))
            frames.append(-(-len(samples) // hearing.hop))
        heard = torch.stack(spectrograms).to(self.device, getattr(torch, self.dtype))
        with self._meter.stage("encoder"):
            found = cast("Module", self._module).hear(heard, frames)
        return [Placed([placeholder] * len(each), placeholder, each) for each in found]

    @cached_property
    def _hearing(self) -> Hearing:
        return read_hearing(self._description, self.spec.encoder.bands, self.spec.encoder.frames)
