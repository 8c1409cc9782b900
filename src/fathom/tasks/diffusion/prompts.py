"""Texts as a denoiser sees them: cut into tokens, filled up, read, and put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from fathom.blocks.prompting import Read
from fathom.errors import TokenizerError
from fathom.generation.stage_meter import StageMeter
from fathom.inputs.tokenizer import Tokenizer
from fathom.models.diffusion import PictureMaker
from fathom.spec.diffusion import LONG, ClipText, Reader
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.unet import Unet

# Components by name → a block in which their weights are in memory.
Awake: TypeAlias = Callable[..., AbstractContextManager[None]]

SHOWN = 80  # characters of a text that was left out


def always_awake(*names: str) -> AbstractContextManager[None]:
    """Of a model whose components are all in memory, for as long as it is."""
    return nullcontext()


@dataclass(frozen=True)
class Seen:
    """What a denoiser sees of a text: states (1, tokens, width), and a vector (1, n) if it does."""

    states: Tensor
    vector: Tensor | None

    def zeros(self) -> Seen:
        """Return nothing of the same shape."""
        vector = None if self.vector is None else torch.zeros_like(self.vector)
        return Seen(torch.zeros_like(self.states), vector)


class Prompts:
    """Reads texts with the encoders of a pipeline. `notes` say what did not fit."""

    def __init__(
        self,
        model: PictureMaker,
        tokenizers: Sequence[Tokenizer],
        device: torch.device,
        awake: Awake,
        meter: StageMeter | None = None,
    ) -> None:
        self.model = model
        self._meter = meter or StageMeter()
        self._device = device
        self._awake = awake
        self.spec = model.spec
        self.tokenizers = tuple(tokenizers)
        self.notes: list[str] = []

    def see(self, *texts: str) -> list[Seen]:
        """Return texts as the denoiser is to see them; what does not fit is told in `notes`.

        Each encoder reads all of them in one turn.
        """
        found: list[list[tuple[Reader, Read]]] = [[] for _ in texts]
        for reader, tokenizer in zip(self.spec.readers, self.tokenizers, strict=True):
            with self._awake(reader.name), self._meter.stage(reader.name):
                for text, read in zip(texts, found, strict=True):
                    tokens = self._tokens(text, reader, tokenizer)
                    ids = torch.tensor([tokens], device=self._device)
                    read.append((reader, self.model.read(reader, ids)))
        return [self._seen(read) for read in found]

    def _seen(self, found: Sequence[tuple[Reader, Read]]) -> Seen:
        """Put together what the encoders made of one text."""
        if isinstance(self.spec.denoiser, DiffusionTransformer):
            return self._joined([(reader, read.before_last, read.vector) for reader, read in found])
        denoiser = self.spec.denoiser
        told = isinstance(denoiser, Unet) and denoiser.descent.told is not None
        if not told:
            return Seen(found[0][1].last, None)
        states = torch.cat([read.before_last for _, read in found], dim=-1)
        return Seen(states, found[-1][1].vector)

    def _joined(self, found: list[tuple[Reader, Tensor, Tensor]]) -> Seen:
        """Put towers side by side, filled up to the width of the longer text, which follows."""
        towers = [each for each in found if isinstance(each[0].encoder, ClipText)]
        states = torch.cat([each[1] for each in towers], dim=-1)
        width = self.spec.denoiser.text_width
        states = functional.pad(states, (0, width - states.shape[-1]))
        longer = [each[1] for each in found if not isinstance(each[0].encoder, ClipText)]
        longer = longer or [states.new_zeros(1, LONG, width)]
        vector = torch.cat([each[2] for each in towers], dim=-1)
        return Seen(torch.cat((states, *longer), dim=1), vector)

    def _tokens(self, text: str, reader: Reader, tokenizer: Tokenizer) -> list[int]:
        """Return a text in just as many tokens as its encoder takes."""
        tokens, most = tokenizer.encode(text, parse_special=False), reader.tokens
        if len(tokens) > most:
            kept, ending = tokens[: most - 1], tokens[-1]
            left_out = tokenizer.decode(tokens[most - 1 : -1]).strip()
            note = (
                f"the prompt has {len(tokens)} tokens and a text encoder takes {most}: it does not"
                f" see “{_shortened(left_out)}”"
            )
            if note not in self.notes:
                self.notes.append(note)
            tokens = [*kept, ending]
        return tokens + [self._filler(reader, tokenizer)] * (most - len(tokens))

    def _filler(self, reader: Reader, tokenizer: Tokenizer) -> int:
        """Return the token by which short texts are filled up, which the encoder sees."""
        word = tokenizer.words.get("pad_token") or tokenizer.words.get("eos_token")
        found = None if word is None else tokenizer.token_to_id(word)
        if found is None:
            raise TokenizerError(
                f"the tokenizer of {reader.name} names no token to fill up short texts;"
                " its special_tokens_map.json should have a 'pad_token'"
            )
        return found


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
