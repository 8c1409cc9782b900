"""Work for a model that is to be measured: the same random tokens every time, read and written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor

from fathom.generation.forward import CHUNK
from fathom.generation.native_load import SEED, WRITTEN, NativeLoad
from fathom.generation.native_pair_load import NativePairLoad
from fathom.generation.source import LookingState, PairState
from fathom.generation.state import ContiguousState
from fathom.ops.program import Program
from fathom.ops.program_pair import ProgramPair
from fathom.spec.classes import model_outputs
from fathom.spec.decoder import Decoder
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import EncoderDecoder
from fathom.spec.model import TextModel as Spec
from fathom.spec.speech import Speech

if TYPE_CHECKING:
    from fathom.blocks.cross import Source
    from fathom.models.decoder import Decoder as DecoderModel
    from fathom.models.encoder_decoder import EncoderDecoder as PairModel


class Opened(Protocol):
    """What is needed of an opened model."""

    spec: Spec
    dtype: str

    @property
    def module(self) -> torch.nn.Module: ...

    @property
    def program(self) -> Program | ProgramPair | None: ...

    @property
    def device(self) -> torch.device: ...


class Load(Protocol):
    """One way to work a model. `prompt` and `written` count the tokens of a round in each row."""

    prompt: int
    written: int

    def fill(self) -> None:
        """Use the whole context once, so that memory is at its most."""

    def read(self) -> None:
        """Begin afresh and read the prompt, up to the choice of the next token."""

    def write(self) -> None:
        """Write one more token of each row."""


def load_for(model: Opened, context: int, batch: int) -> Load:
    """Return the work for a model, with its state allocated and every page of it in use."""
    if isinstance(model.spec, EncoderDecoder):
        if isinstance(model.program, ProgramPair):
            return NativePairLoad(model.spec, model.program, context, batch)
        return PairLoad(model, context, batch)
    if isinstance(model.spec, Decoder) and "text" in model_outputs(model.spec):
        if isinstance(model.program, Program):
            return NativeLoad(model.spec, model.program, context, batch)
        return DecoderLoad(model, context, batch)
    return ReadingLoad(model, context, batch)


def writing_program(
    spec: object, program: Program | ProgramPair | None
) -> Program | ProgramPair | None:
    """Return the native program that a load works, or the pair; None where it works modules."""
    writes = isinstance(spec, Decoder) and "text" in model_outputs(spec)
    return program if writes or isinstance(spec, EncoderDecoder | Speech) else None


class DecoderLoad:
    """Reads half of the context and writes on from there, into a state as large as all of it."""

    def __init__(self, model: Opened, context: int, batch: int) -> None:
        spec = cast(Decoder, model.spec)
        self._module = cast("DecoderModel", model.module)
        self._state = ContiguousState(
            spec,
            batch=batch,
            capacity=context,
            dtype=getattr(torch, model.dtype),
            device=model.device,
        )
        _touch(array for layer in self._state.layers for array in layer.arrays.values())
        self._tokens = _random(spec.vocabulary, batch, context, model.device)
        self._next = self._tokens[:, :1]
        self.written = min(WRITTEN, context // 4)
        self.prompt = (context - self.written) // 2

    def fill(self) -> None:
        self._read(self._tokens.shape[1] - 1)
        self.write()

    def read(self) -> None:
        self._read(self.prompt)

    def write(self) -> None:
        self._choose(self._hidden(self._next))

    def _read(self, length: int) -> None:
        """Read so many tokens of each row in the pieces that an answer's prompt is read in."""
        self._state.reset()
        for chunk in self._tokens[:, :length].split(CHUNK, dim=1):
            hidden = self._hidden(chunk)
        self._choose(hidden)

    def _hidden(self, tokens: Tensor) -> Tensor:
        step = self._state.advance(tokens.shape[1])
        return self._module.hidden(tokens, step=step, state=self._state)

    def _choose(self, hidden: Tensor) -> None:
        """Choose the likeliest next token of each row, (batch, 1)."""
        self._next = self._module.scores(hidden[:, -1]).argmax(-1, keepdim=True)


class ReadingLoad:
    """Reads whole texts and keeps nothing."""

    written = 0

    def __init__(self, model: Opened, context: int, batch: int) -> None:
        # A decoder that is read for its hidden states scores no tokens.
        scored = isinstance(model.spec, Encoder)
        self._run = model.module if scored else cast("DecoderModel", model.module).hidden
        self._tokens = _random(model.spec.vocabulary, batch, context, model.device)
        self.prompt = context

    def fill(self) -> None:
        self.read()

    def read(self) -> None:
        self._run(self._tokens)

    def write(self) -> None:
        raise NotImplementedError("this load writes 0 tokens")


class PairLoad:
    """Reads a text of the whole context, and begins one about it."""

    def __init__(self, model: Opened, context: int, batch: int) -> None:
        spec = cast(EncoderDecoder, model.spec)
        self._module = cast("PairModel", model.module)
        self._state = PairState(
            spec,
            batch=batch,
            capacity=context,
            source=context,
            dtype=getattr(torch, model.dtype),
            device=model.device,
        )
        layers = cast(list[LookingState], self._state.layers)
        _touch(
            array
            for layer in layers
            for array in (*layer.arrays.values(), *layer.own.arrays.values())
        )
        self._tokens = _random(spec.embedding.vocabulary, batch, context, model.device)
        self._next = self._begin = _random(spec.vocabulary, batch, 1, model.device)
        self._source: Source | None = None
        self.prompt, self.written = context, min(WRITTEN, context // 4)

    def fill(self) -> None:
        self.read()
        for _ in range(self._tokens.shape[1] - 1):
            self.write()

    def read(self) -> None:
        self._state.reset()
        self._source, self._next = self._module.encode(self._tokens), self._begin
        self.write()

    def write(self) -> None:
        source = cast("Source", self._source)
        step = self._state.advance(1)
        hidden = self._module.hidden(self._next, source, step=step, state=self._state)
        self._next = self._module.scores(hidden[:, -1]).argmax(-1, keepdim=True)


def _random(vocabulary: int, batch: int, length: int, device: torch.device) -> Tensor:
    """Return token ids (batch, length), the same ones every time."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(vocabulary, (batch, length), generator=generator).to(device)


def _touch(arrays: Iterable[Tensor]) -> None:
    """Write to every page: one that was only reserved is not memory yet."""
    for array in arrays:
        array.fill_(0)
