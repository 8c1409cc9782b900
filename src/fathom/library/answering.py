"""Models in whose prompt pictures or sound stand beside text: what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fathom.checkpoint.documents import read_json
from fathom.library.cards import read_tokenizer
from fathom.library.staged import StagedModel

if TYPE_CHECKING:
    import torch

    from fathom.generation.generate import Engine
    from fathom.generation.results import Generation
    from fathom.inputs.tokenizer import Tokenizer

ANSWER_TOKENS = 2048  # of an answer when nobody says how long it may be, as far as there is room
M = TypeVar("M")  # a picture, or a sound


class AnsweringModel(StagedModel, Generic[M]):
    """A decoder that answers about what stands in its prompt. Its spec has a `placeholder`."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        return read_tokenizer(self._description)

    def _medium(self, part: Mapping[str, object]) -> tuple[M, Mapping[str, object]] | None:
        """Return the picture or sound of a part, and the part as a template is shown it.

        None for a part of another kind.

        Raises:
            RequestError: for a part that says it holds one and does not.
        """
        raise NotImplementedError(type(self).__name__)

    def _vectors(self, media: Sequence[M]) -> list[torch.Tensor]:
        """Return what stands in the prompt for each picture or sound, (places, width)."""
        raise NotImplementedError(type(self).__name__)

    def _answered(
        self, messages: Sequence[Mapping[str, object]], options: Mapping[str, object]
    ) -> Generation:
        """Begin to answer a conversation."""
        from fathom.inputs.conversation import encode_conversation

        shown, media = self._told_apart(messages)
        return self._begun(encode_conversation(self.tokenizer, shown), media, options)

    def _begun(
        self, ids: Sequence[int], media: Sequence[M], options: Mapping[str, object]
    ) -> Generation:
        """Begin to write after a prompt with a place for each picture or sound."""
        import torch

        from fathom.generation.inserts import expanded, inserts_at
        from fathom.generation.published import Published

        with torch.inference_mode():
            vectors = self._vectors(media) if media else []
        spec: Any = self.spec  # which has a placeholder and a context, whatever its kind
        prompt = expanded(ids, spec.placeholder, [len(each) for each in vectors])
        room = max(1, min(spec.context - len(prompt), ANSWER_TOKENS))
        asked = {**options, "inserts": inserts_at(prompt, spec.placeholder, vectors)}
        request, notes = Published.read(self._stated).request(prompt, asked, room)
        generation = self._engine.generate(request)
        generation.notes = notes
        return generation

    def _told_apart(
        self, messages: Sequence[Mapping[str, object]]
    ) -> tuple[list[dict[str, object]], list[M]]:
        """Return messages as a template may see them, and what stands in them, in order."""
        media: list[M] = []
        shown = []
        for message in messages:
            content = message.get("content")
            if not isinstance(content, list):
                shown.append(dict(message))
                continue
            parts: list[object] = []
            for part in content:
                found = self._medium(part) if isinstance(part, Mapping) else None
                parts.append(part if found is None else found[1])
                media += [] if found is None else [found[0]]
            shown.append({**message, "content": parts})
        return shown, media

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
