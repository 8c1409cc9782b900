"""Models in whose prompt pictures, videos or sound stand beside text: what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fathom.checkpoint.documents import read_json
from fathom.errors import UnsupportedTaskError
from fathom.library.cards import read_tokenizer
from fathom.library.staged import StagedModel

if TYPE_CHECKING:
    from fathom.generation.generate import Engine
    from fathom.generation.inserts import Insert, Placed
    from fathom.generation.results import Generation
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.tokenizer import Tokenizer

ANSWER_TOKENS = 2048  # of an answer when nobody says how long it may be, as far as there is room


class AnsweringModel(StagedModel):
    """A decoder that answers about what stands in its prompt. Its spec has a `context`."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        return read_tokenizer(self._description)

    @property
    def marks(self) -> Mapping[Kind, int]:
        """The kinds that it takes, and the token that its template leaves for one of each."""
        raise NotImplementedError(type(self).__name__)

    def chat(self, messages: Sequence[Mapping[str, object]], **options: object) -> Generation:
        """Answer a conversation in which pictures, videos and sound may stand beside text.

        Args:
            messages: each with a ``role`` and a ``content``: a text, or a list of parts, such as
                ``{"type": "text", "text": …}``, ``{"type": "image", "image": …}``,
                ``{"type": "video", "video": …}`` or ``{"type": "audio", "audio": …}``, as
                `inputs.content` spells them. A picture is a file, the bytes of one, an array of
                pixels or a Pillow picture; a video an animated file or a list of pictures; a
                sound a file, bytes, or samples at the model's rate.
            options: as for `TextModel.generate`.

        Raises:
            UnsupportedTaskError: for what the model does not take, such as sound.
            TokenizerError: when there is no template, or it refuses the messages.
            NotFoundError: when nothing beside the weights says how pictures are prepared.
            PictureError, SoundError: for what is no sound file of its kind.
            RequestError, ContextLengthError: for options that make no sense, or too long a prompt.
        """
        from fathom.inputs.content import in_parts, told_apart
        from fathom.inputs.conversation import encode_conversation

        shown, media = told_apart(messages)
        self._require_taken(media)
        if self.tokenizer.chat.only_parts:
            shown = in_parts(shown)
        return self._begun(encode_conversation(self.tokenizer, shown), media, options)

    def _require_taken(self, media: Sequence[Medium]) -> None:
        """Refuse what the model cannot take."""
        from fathom.inputs.content import NAMES

        other = next((one.kind for one in media if one.kind not in self.marks), None)
        if other is not None:
            taken = " and ".join(NAMES[kind] for kind in self.marks)
            raise UnsupportedTaskError(
                f"this model takes text and {taken}, and no {NAMES[other]}; leave it out, or see"
                " `fathom choose --task chat` for models that take it"
            )

    def _placed(self, media: Sequence[Medium]) -> list[Placed]:
        """Return what each picture, video or sound becomes in the prompt."""
        raise NotImplementedError(type(self).__name__)

    def _begun(
        self, ids: Sequence[int], media: Sequence[Medium], options: Mapping[str, object]
    ) -> Generation:
        """Begin to write after a prompt with a mark for each picture, video or sound."""
        from fathom.generation.published import Published

        prompt, inserts = self._composed(ids, media)
        spec: Any = self.spec  # which has a context, whatever its kind
        room = max(1, min(spec.context - len(prompt), ANSWER_TOKENS))
        asked = {**options, "inserts": inserts}
        request, notes = Published.read(self._stated).request(prompt, asked, room)
        generation = self._engine.generate(request)
        generation.notes = notes
        return generation

    def _composed(
        self, ids: Sequence[int], media: Sequence[Medium]
    ) -> tuple[list[int], tuple[Insert, ...]]:
        """Return a prompt with everything in the places of its marks, and the vectors in it."""
        import torch

        from fathom.generation.inserts import placed

        with torch.inference_mode():
            found = self._placed(media) if media else []
        waiting: dict[int, list[Placed]] = {mark: [] for mark in self.marks.values()}
        for one, place in zip(media, found, strict=True):
            waiting[self.marks[one.kind]].append(place)
        return placed(ids, waiting)

    @cached_property
    def _stated(self) -> Mapping[str, object]:
        file = self._description.folder / "generation_config.json"
        return read_json(file) if file.is_file() else {}

    @cached_property
    def _engine(self) -> Engine:
        import torch

        from fathom.generation.generate import Engine
        from fathom.generation.modules import ModuleForward

        spec: Any = self.spec
        decoder: Any = self._module.get_submodule("decoder")
        return Engine(
            ModuleForward(decoder, dtype=getattr(torch, self.dtype), device=self.device),
            self.tokenizer,
            context=spec.context,
            load_seconds=self.load_seconds,
        )
