"""Models in whose prompt pictures, videos or sound stand beside text: what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fathom.checkpoint.documents import read_json
from fathom.errors import UnsupportedTaskError
from fathom.library.cards import read_tokenizer
from fathom.library.staged import StagedModel
from fathom.spec.work import Work

if TYPE_CHECKING:
    from fathom.generation.generate import Engine
    from fathom.generation.inserts import Insert, Placed
    from fathom.generation.results import Generation
    from fathom.generation.stage_meter import StagedMeasured
    from fathom.inputs.content import Kind, Medium
    from fathom.inputs.pictures import Source
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.planning.predict import Forecast

ANSWER_TOKENS = 2048  # of an answer when nobody says how long it may be, as far as there is room


class AnsweringModel(StagedModel):
    """A decoder that answers about what stands in its prompt. Its spec has a `context`."""

    _answer: Generation | None = None

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

    def chat(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        tools: Sequence[Mapping[str, object]] | None = None,
        **options: object,
    ) -> Generation:
        """Answer a conversation in which pictures, videos and sound may stand beside text.

        Args:
            messages: each with a ``role`` and a ``content``: a text, or a list of parts, such as
                ``{"type": "text", "text": …}``, ``{"type": "image", "image": …}``,
                ``{"type": "video", "video": …}`` or ``{"type": "audio", "audio": …}``, as
                `inputs.content` spells them. A picture is a file, the bytes of one, an array of
                pixels or a Pillow picture; a video an animated file or a list of pictures; a
                sound a file, bytes, or samples at the model's rate.
            tools: functions that may be called, as the template takes them.
            options: as for `TextModel.generate`.

        Raises:
            UnsupportedTaskError: for what the model does not take, such as sound.
            TokenizerError: when there is no template, or it refuses the messages.
            NotFoundError: when nothing beside the weights says how pictures are prepared.
            PictureError, SoundError: for what is no sound file of its kind.
            RequestError, ContextLengthError: for options that make no sense, or too long a prompt.
        """
        from fathom.inputs.content import told_apart

        shown, media = told_apart(messages)
        self._require_taken(media)
        return self._begun(self._encoded(shown, tools), media, options)

    def _encoded(
        self,
        shown: Sequence[Mapping[str, object]],
        tools: Sequence[Mapping[str, object]] | None = None,
    ) -> list[int]:
        """Return a conversation as tokens, with a mark for each picture, video or sound."""
        from fathom.inputs.content import in_parts
        from fathom.inputs.conversation import encode_conversation

        parts = in_parts(shown) if self.tokenizer.chat.only_parts else shown
        return encode_conversation(self.tokenizer, parts, tools)

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

        self._meter.start()
        prompt, inserts = self._composed(ids, media)
        spec: Any = self.spec  # which has a context, whatever its kind
        room = max(1, min(spec.context - len(prompt), ANSWER_TOKENS))
        asked = {**options, "inserts": inserts}
        request, notes = Published.read(self._stated).request(prompt, asked, room)
        generation = self._answer = self._engine.generate(request)
        generation.predicted = self._expected(len(prompt), len(media), request.max_tokens or 1)
        generation.notes = notes
        generation.kernels = self.kernels
        return generation

    @property
    def measured(self) -> StagedMeasured:
        """What the last answer took so far: seeing and hearing, reading and writing."""
        found, answer = super().measured, self._answer
        if answer is None:
            return found
        usage, rates = answer.usage, answer.measured
        done = {
            "reading": (
                1,
                usage.prompt_tokens - usage.reused_tokens,
                rates.prefill_tokens_per_second,
            ),
            "writing": (
                usage.completion_tokens - 1,
                usage.completion_tokens - 1,
                rates.decode_tokens_per_second,
            ),
        }
        known = {name: one for name, one in done.items() if one[2] is not None}
        seconds = {name: tokens / rate for name, (_, tokens, rate) in known.items() if rate}
        passes = {name: times for name, (times, _, _) in known.items()}
        return replace(
            found,
            seconds={**found.seconds, **seconds},
            passes={**found.passes, **passes},
        )

    def _expected(self, prompt: int, media: int, answer: int) -> Forecast:
        """Return what an answer is expected to take once all that stands in it is seen or heard."""
        from fathom.planning.predict import Forecast

        found = self.fit(self._text_work(prompt, media, answer))
        seconds = found.seconds or {}
        reading, writing = seconds.get("reading"), seconds.get("writing")
        return Forecast(
            seconds_to_first_token=reading,
            prefill_tokens_per_second=prompt / reading if reading else None,
            decode_tokens_per_second=answer / writing if writing else None,
            memory_bytes=found.total_bytes,
            memory_terms=found.terms,
        )

    def _text_work(self, prompt: int, media: int, answer: int) -> Work:
        """Return the work of a prompt whose pictures and sounds stand in places of it."""
        return Work(frames=0, seconds=0.0, tokens=prompt, written=answer)

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


class PictureAnsweringModel(AnsweringModel):
    """One that continues a text with pictures in it as well, in whatever way it sees them."""

    def generate(
        self, prompt: str, pictures: Sequence[Source] = (), **options: object
    ) -> Generation:
        """Continue a text in which the publisher's placeholder stands for each picture, in order.

        Raises:
            RequestError: for more pictures than placeholders, or fewer; else as `chat`.
        """
        from fathom.inputs.content import Medium

        media = [Medium("image", picture) for picture in pictures]
        return self._begun(self.tokenizer.encode(prompt), media, options)
