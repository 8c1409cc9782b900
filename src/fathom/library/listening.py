"""A model that listens and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fathom.checkpoint.documents import read_json
from fathom.errors import RequestError, SoundError
from fathom.library.cards import read_tokenizer
from fathom.library.staged import StagedModel
from fathom.spec.speech_language import SpeechLanguage

if TYPE_CHECKING:
    import torch

    from fathom.generation.generate import Engine
    from fathom.generation.results import Generation
    from fathom.inputs.sound import Sound
    from fathom.inputs.sound_spectrogram import Hearing
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.models.speech_language import SpeechLanguage as Module

ANSWER_TOKENS = 2048  # of an answer when nobody says how long it may be, as far as there is room
STANDS = "sound"  # for the sound itself, where a template is shown a message


class ListeningModel(StagedModel):
    """A decoder in whose prompt sound stands. Made by `open`."""

    spec: SpeechLanguage

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        return read_tokenizer(self._description)

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
        import torch

        from fathom.generation.inserts import expanded, inserts_at
        from fathom.generation.published import Published
        from fathom.inputs.conversation import encode_conversation

        shown, sounds = _told_apart(messages)
        ids = encode_conversation(self.tokenizer, shown)
        with torch.inference_mode():
            vectors = self._heard(sounds)
        place = self.spec.placeholder
        prompt = expanded(ids, place, [len(each) for each in vectors])
        room = max(1, min(self.spec.context - len(prompt), ANSWER_TOKENS))
        asked = {**options, "inserts": inserts_at(prompt, place, vectors)}
        request, notes = Published.read(self._stated).request(prompt, asked, room)
        generation = self._engine.generate(request)
        generation.notes = notes
        return generation

    def _heard(self, sounds: Sequence[Sound]) -> list[torch.Tensor]:
        """Return the vectors of each sound, (places, width)."""
        import torch

        from fathom.inputs.sound import read_sound
        from fathom.inputs.sound_spectrogram import log_mel

        if not sounds:
            return []
        hearing = self._hearing
        spectrograms, frames = [], []
        for sound in sounds:
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

    @cached_property
    def _stated(self) -> Mapping[str, object]:
        file = self._description.folder / "generation_config.json"
        return read_json(file) if file.is_file() else {}

    @cached_property
    def _engine(self) -> Engine:
        import torch

        from fathom.generation.generate import Engine
        from fathom.generation.modules import ModuleForward

        decoder = cast("Module", self._module).decoder
        return Engine(
            ModuleForward(decoder, dtype=getattr(torch, self.dtype), device=self.device),
            self.tokenizer,
            context=self.spec.context,
            load_seconds=self.load_seconds,
        )


def _told_apart(
    messages: Sequence[Mapping[str, object]],
) -> tuple[list[dict[str, object]], list[Sound]]:
    """Return messages as a template may see them, and the sounds in them, in order.

    Raises:
        RequestError: for a part that holds no sound where its type says so.
    """
    sounds: list[Sound] = []
    shown = []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, list):
            shown.append(dict(message))
            continue
        parts = [_shown(part, sounds) for part in content]
        shown.append({**message, "content": parts})
    return shown, sounds


def _shown(part: object, sounds: list[Sound]) -> object:
    """Return a part of a message as a template may see it; its sound is put with the others."""
    import numpy as np

    if not isinstance(part, Mapping):
        return part
    named = part.get("audio", part.get("audio_url"))
    if named is None and part.get("type") not in ("audio", "sound"):
        return part
    if not isinstance(named, str | Path | bytes | np.ndarray):
        raise RequestError(
            'a part of type "audio" needs its sound: {"type": "audio", "audio": a file, bytes or'
            " an array}"
        )
    sounds.append(named)
    return {"type": "audio", "audio_url": STANDS}
