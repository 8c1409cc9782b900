"""A text model in memory: its predictions and its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.checkpoint.documents import read_json
from fathom.checkpoint.sentence_transformers import stated_vector
from fathom.errors import RequestError
from fathom.generation.published import Published, legacy
from fathom.generation.tasks import (
    PairTasks,
    ReadingTasks,
    require_beams,
    require_reading,
    require_texts,
    require_writing,
)
from fathom.library.cards import read_tokenizer
from fathom.library.engines import executor_of, forward_of, pair_forward_of, vectoriser_of
from fathom.library.forecasts import forecast, forecast_answer
from fathom.library.model import Model
from fathom.planning.calibration import calibrate
from fathom.planning.predict import Forecast, Prediction
from fathom.residency.adapting import Adapting
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import TextModel as Spec
from fathom.spec.model import text_model
from fathom.spec.tasks import possible

if TYPE_CHECKING:
    import torch

    from fathom.generation.batching.engine import BatchEngine, Bounds
    from fathom.generation.embedding import Embedder
    from fathom.generation.generate import Engine
    from fathom.generation.labelling import Labeller
    from fathom.generation.pair import Opening, PairEngine
    from fathom.generation.request import Request
    from fathom.generation.results import Generation
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.models.decoder import Decoder as DecoderModel

ANSWER_TOKENS = 2048  # of an answer when nobody says how long it may be, as far as there is room


class TextModel(Adapting, ReadingTasks, PairTasks, Model):
    """A text model in memory. Made by `open`."""

    spec: Spec
    kept_tokenizer: Tokenizer | None = None  # which its card was made with

    @property
    def module(self) -> DecoderModel:
        """The PyTorch module; its parameter names are paths in the spec."""
        return self._module  # type: ignore[return-value]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer, or that of an adapter that brings one.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        if self.adapter is not None and self.adapter.tokenized:
            return read_tokenizer(self._description, self.adapter)
        return self.kept_tokenizer or read_tokenizer(self._description)

    def fit(
        self, context: int | None = None, batch: int = 1, *, modules: bool = False
    ) -> Prediction:
        """Predict memory and speed on this machine, term by term.

        Of the way that it writes; or, `modules`, of PyTorch's modules whatever writes.

        Rates that were measured here before on models like this one are put right by that, and
        the prediction says so (`calibrated_from`).

        Raises:
            RequestError: for a context beyond the model's own, or numbers below one.
        """
        context = self.spec.context if context is None else context
        if not 1 <= context <= self.spec.context or batch < 1:
            raise RequestError(
                f"a context of {context:,} and a batch of {batch:,}: the model takes 1 to"
                f" {self.spec.context:,} positions and a batch of at least 1"
            )
        found = self._forecast(context, batch, modules=modules)
        return self.with_adapter(calibrate(found, self.spec, self.device_type))

    def _forecast(self, context: int, batch: int, *, modules: bool = False) -> Prediction:
        """Predict the way that it writes, or that of its modules."""
        return forecast(self.spec, None if modules else self.program, self.dtype, context, batch)

    @property
    def computing(self) -> str:
        """What measurements of it are told apart by: its type, or the kernels that it writes with.

        As the `dtype` of its predictions has it.
        """
        return self._forecast(1, 1).dtype

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be asked for, by the names of `spec.tasks.TASKS`; the likeliest first."""
        published = self._config.get("task_specific_params")
        named = tuple(map(str, published)) if isinstance(published, Mapping) else ()
        infills = self.tokenizer.infill is not None
        return possible(self.spec, chats=self.card.chat_template, infills=infills, published=named)

    def logits(
        self,
        token_ids: Sequence[Sequence[int]] | torch.Tensor,
        written: Sequence[Sequence[int]] | torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return scores for whole sequences of one length: (batch, length, vocabulary) float32.

        A model that reads one text and writes another takes both, and scores the one written.

        Raises:
            UnsupportedTaskError: for one text where there must be two, or two where one.
            RequestError: for ids outside the vocabulary, or sequences of different lengths.
            ContextLengthError: for sequences longer than the context.
        """
        import torch

        from fathom.generation.scoring import checked_tokens

        require_texts(self.spec, 1 if written is None else 2)
        texts = [checked_tokens(token_ids, self.spec).to(self.device)]
        if written is not None:
            texts.append(checked_tokens(written, self.spec).to(self.device))
        with torch.inference_mode():
            scores: torch.Tensor = self.module(*texts)
        return scores.float()

    def generate(self, prompt: str, **options: object) -> Generation:
        """Continue a text; iterate over the result for pieces of it.

        Options: max_tokens, temperature, top_k, top_p, min_p, repetition_penalty,
        presence_penalty, frequency_penalty, logit_bias, seed, stop, logprobs, reasoning_budget,
        min_tokens, no_repeat_ngram_size, the form of the answer as one of schema, regex, choice
        and grammar (`generation.forms`), and of models that read one text to write another beams,
        length_penalty, early_stopping. What is not given is as the model's publisher wants it, and
        greedy where they say nothing; the result's `notes` tell what of that is not applied.

        What a model thinks before it answers is not part of the text: a piece has it as its
        `reasoning`, and so has the result.

        Raises:
            RequestError: for an empty prompt, an unknown option or a value out of range.
            ContextLengthError: when prompt and answer exceed the context.
            TokenizerError: for a text that is not Unicode.
        """
        return self._generate(self.tokenizer.encode(prompt), options)

    def chat(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        tools: Sequence[Mapping[str, object]] | None = None,
        **options: object,
    ) -> Generation:
        """Answer a conversation, rendered by the model's own chat template.

        What a user or a tool says is text, even where it spells a control token.

        Args:
            messages: each with a ``role`` and a ``content``, oldest first.
            tools: functions that the model may call, as JSON schemas.
            options: as for `generate`.

        Raises:
            TokenizerError: when there is no template, or it refuses the messages.
            RequestError, ContextLengthError: as `generate`.
        """
        from fathom.inputs.conversation import encode_conversation

        require_writing(self.spec)
        return self._generate(encode_conversation(self.tokenizer, messages, tools), options)

    def infill(self, prefix: str, suffix: str, **options: object) -> Generation:
        """Write what is between two texts, such as the missing lines of a program.

        Options are those of `generate`.

        Raises:
            UnsupportedTaskError: for a model that was not trained to.
            RequestError: when both texts are empty, or as `generate`.
            ContextLengthError: as `generate`.
        """
        from fathom.generation.infill import gap

        require_writing(self.spec)
        found = gap(self.tokenizer, prefix, suffix)
        return self._generate(found.prompt, {"end": found.end, **options})

    def _generate(
        self, prompt: Sequence[int], options: Mapping[str, object], task: str | None = None
    ) -> Generation:
        """Begin an answer, by the publisher's defaults for a task where there are such."""
        request, notes = self.request(prompt, options, task)
        generation = self._engine.generate(request)
        capacity = self._engine.capacity(len(request.prompt), request.max_tokens or 1)
        generation.predicted = self._expected(len(request.prompt), capacity, request.beams.beams)
        generation.notes = notes
        generation.kernels = self.kernels
        return generation

    def request(
        self, prompt: Sequence[int], options: Mapping[str, object], task: str | None = None
    ) -> tuple[Request, tuple[str, ...]]:
        """Return what an engine is asked for, and what of the publisher's wishes is not applied.

        Args:
            prompt: token ids that are read.
            options: those of `generate`; the rest is as published, for a task where they say so.

        Raises:
            UnsupportedTaskError: for a model that does not write, or beams where it has none.
            RequestError: for an unknown option or a value out of range.
        """
        require_writing(self.spec)
        require_beams(self.spec, options)
        published = self._published(task)
        room = self.spec.context - (published.opening or len(prompt))
        room = room if isinstance(self.spec, EncoderDecoder) else min(room, ANSWER_TOKENS)
        return published.request(prompt, options, max(1, room))

    def _expected(self, prompt: int, capacity: int, beams: int) -> Forecast:
        """Return what an answer is expected to take, written in room for `capacity` tokens."""
        return forecast_answer(self.fit, self.spec.context, prompt, capacity, beams)

    def _published(self, task: str | None = None) -> Published:
        """Return how the publisher wants text written, for a task if they say so."""
        opening = None
        if isinstance(self.spec, EncoderDecoder):
            opening = len(self._opening.tokens)
        special = self._config.get("task_specific_params")
        stated = special.get(task) if isinstance(special, Mapping) else None
        overlay = stated if isinstance(stated, Mapping) else {}
        overlay = {str(key): value for key, value in overlay.items() if key != "prefix"}
        return Published.read({**self._stated, **overlay}, opening=opening)

    @cached_property
    def _stated(self) -> Mapping[str, object]:
        """What the publisher states on generating; older pairs do so in config.json."""
        file = self._description.folder / "generation_config.json"
        if file.is_file():
            return read_json(file)
        return legacy(self._config) if isinstance(self.spec, EncoderDecoder) else {}

    @cached_property
    def _opening(self) -> Opening:
        from fathom.generation.pair import Opening

        return Opening.published(self._stated, self._config)

    @cached_property
    def _engine(self) -> Engine | PairEngine:
        if isinstance(self.spec, EncoderDecoder):
            return self._pair_engine(self.spec)

        from fathom.generation.generate import Engine

        return Engine(
            forward_of(self),
            self.tokenizer,
            context=self.spec.context,
            load_seconds=self.load_seconds,
        )

    def batching(self, bounds: Bounds) -> BatchEngine:
        """Return an engine that computes many requests together; close it when done.

        Raises:
            UnsupportedTaskError: for a model that does not continue texts.
        """
        from fathom.generation.batching.engine import BatchEngine

        require_writing(self.spec)
        return BatchEngine(
            executor_of(self, bounds),
            self.tokenizer,
            bounds,
            context=self.spec.context,
            load_seconds=self.load_seconds,
            forecast=lambda prompt, total: self._expected(prompt, total, 1),
        )

    def _pair_engine(self, spec: EncoderDecoder) -> PairEngine:
        from fathom.generation.pair import PairEngine

        return PairEngine(
            pair_forward_of(self, spec),
            spec,
            self.tokenizer,
            self._opening,
            context=spec.context,
            load_seconds=self.load_seconds,
        )

    def _embedder(self, pooling: str | None) -> Embedder:
        from fathom.generation.embedding import Embedder

        require_reading(self.spec)
        stated = stated_vector(self._description, pooling)
        return Embedder(vectoriser_of(self, stated), self.tokenizer, stated, self.spec.context)

    @cached_property
    def _labeller(self) -> Labeller:
        from fathom.generation.labelling import Labeller

        return Labeller(self._module, self.tokenizer, self.spec.context)  # type: ignore[arg-type]

    def save(self, folder: str | Path) -> None:
        """Write the model as a safetensors folder that its publisher's own tools open.

        Raises:
            RequestError: when the folder exists already, or an adapter is not merged.
        """
        self.require_merged()
        super().save(folder)

    def _extra_files(self) -> dict[str, str]:
        """Return the files of a tokenizer that lies inside the weights' own file, or came later."""
        from fathom.inputs.exporting import tokenizer_files

        contents = self._description.contents
        inside = contents is not None and contents.format == "gguf"
        brought = self.adapter is not None and self.adapter.tokenized
        return tokenizer_files(self.tokenizer) if inside or brought else {}


def text_of(model: Model) -> TextModel:
    """Return a model as one of text.

    Raises:
        UnsupportedTaskError: for a model of another kind, naming what it can do.
    """
    if isinstance(model, TextModel):
        return model
    text_model(model.spec)
    raise TypeError(f"{model!r} has the spec of a text model and is none")
