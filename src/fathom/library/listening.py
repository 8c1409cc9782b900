"""A model that listens and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fathom.checkpoint.documents import read_json
from fathom.errors import RequestError, SoundError
from fathom.library.answering import AnsweringModel
from fathom.spec.speech_language import SpeechLanguage

if TYPE_CHECKING:
    import torch

    from fathom.generation.results import Generation
    from fathom.inputs.sound import Sound
    from fathom.inputs.sound_spectrogram import Hearing
    from fathom.models.speech_language import SpeechLanguage as Module

STANDS = "sound"  # for the sound itself, where a template is shown a message


class ListeningModel(AnsweringModel["Sound"]):
    """A decoder in whose prompt sound stands. Made by `open`."""

    spec: SpeechLanguage

    def chat(self, messages: Sequence[Mapping[str, object]], **options: object) -> Generation:
        """Answer a conversation in which sound may stand beside text.

        Args:
            messages: each with a ``role`` and a ``content``: a text, or a list of parts, such as
                ``{"type": "text", "text": …}`` and ``{"type": "audio", "audio": …}``, the latter
                a file, the bytes of one, or an array of samples at the model's rate.
            options: as for `TextModel.generate`.

        Raises:
            TokenizerError: when there is no template, or it refuses the messages.
            NotFoundError, SoundError: for a file that is not there, no good sound, or one that is
                longer than the model hears at once.
            RequestError, ContextLengthError: for options that make no sense, or too long a prompt.
        """
        return self._answered(messages, options)

    def _medium(self, part: Mapping[str, object]) -> tuple[Sound, Mapping[str, object]] | None:
        import numpy as np

        named = part.get("audio", part.get("audio_url"))
        if named is None and part.get("type") not in ("audio", "sound"):
            return None
        if not isinstance(named, str | Path | bytes | np.ndarray):
            raise RequestError(
                'a part of type "audio" needs its sound: {"type": "audio", "audio": a file, bytes'
                " or an array}"
            )
        return named, {"type": "audio", "audio_url": STANDS}

    def _vectors(self, media: Sequence[Sound]) -> list[torch.Tensor]:
        import torch

        from fathom.inputs.sound import read_sound
        from fathom.inputs.sound_spectrogram import log_mel

        hearing = self._hearing
        spectrograms, frames = [], []
        for sound in media:
            samples = read_sound(sound, hearing.rate)
            if len(samples) > hearing.samples:
                raise SoundError(
                    f"a sound of {len(samples) / hearing.rate:,.1f} s is longer than the"
                    f" {hearing.seconds} s that this model hears at once; cut it into several"
                )
            spectrograms.append(torch.from_numpy(log_mel(samples, hearing, least=hearing.samples)))
            frames.append(-(-len(samples) // hearing.hop))
        heard = torch.stack(spectrograms).to(self.device, getattr(torch, self.dtype))
        return cast("Module", self._module).hear(heard, frames)

    @cached_property
    def _hearing(self) -> Hearing:
        from fathom.inputs.sound_spectrogram import Hearing

        file = self._description.folder / "preprocessor_config.json"
        stated = read_json(file) if file.is_file() else {}
        encoder = self.spec.encoder
        return Hearing.published(stated, encoder.bands, encoder.frames)
