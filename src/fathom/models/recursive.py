"""The tiny recursive model: a question in, an answer that gets better round by round."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fathom.blocks.bricks import Linear, Table
from fathom.blocks.build import Block
from fathom.blocks.state import Step
from fathom.spec import recursive as spec


@dataclass(frozen=True)
class Carry:
    """What goes from round to round; both are (batch, places, width)."""

    answer: Tensor
    scratch: Tensor

    def detached(self) -> Carry:
        """Return the same numbers, through which no gradient flows back."""
        return Carry(self.answer.detach(), self.scratch.detach())


@dataclass(frozen=True)
class Round:
    """What can be read after a round: scores (batch, length, vocabulary), halting (batch)."""

    scores: Tensor
    halting: Tensor  # above zero: the answer is thought right
    carry: Carry


class Recursive(Block):
    """One stack of layers for both states.

    question ──────────────┐
    scratch ◄─ layers ◄─ + ┴─ answer      `inner` times
    answer  ◄─ layers ◄─ scratch + answer   once, and all this `cycles` times a round
    """

    embedding: Table
    puzzles: Table | None
    positions: Table | None
    layers: nn.ModuleList
    answer_start: Tensor
    scratch_start: Tensor
    output: Linear
    halt: Linear

    def __init__(self, described: spec.Recursive) -> None:
        super().__init__(described)
        self.spec = described

    def forward(self, tokens: Tensor, puzzle: Tensor | None = None) -> Tensor:
        """Return scores of the answer after all rounds: (batch, length, vocabulary).

        `tokens` are (batch, length); `puzzle` (batch) says which vector of the table goes before
        each, the first one where it is not given.
        """
        question, carry = self.question(tokens, puzzle), self.start(len(tokens))
        for _ in range(self.spec.rounds):
            found = self.round(question, carry)
            carry = found.carry
        return found.scores

    def question(self, tokens: Tensor, puzzle: Tensor | None = None) -> Tensor:
        """Return what every refinement of the scratch sees: (batch, places, width)."""
        x = self.embedding(tokens)
        if self.spec.slots:
            x = torch.cat((self._slots(len(tokens), puzzle, x), x), dim=1)
        if self.positions is not None:
            x = (x + self.positions.weight) * 0.5**0.5
        return x * self.spec.embedding_scale

    def start(self, batch: int) -> Carry:
        """Return the states before the first round."""
        shape = (batch, self.spec.places, self.spec.width)
        return Carry(self.answer_start.expand(shape), self.scratch_start.expand(shape))

    def round(self, question: Tensor, carry: Carry, *, learning: bool = False) -> Round:
        """Return what a round makes of the carry.

        In learning, the gradient flows back through the last cycle of the round and no further.
        """
        step = Step.dense(len(question), 0, self.spec.places, question.device)
        for cycle in range(self.spec.cycles):
            last = cycle == self.spec.cycles - 1
            with torch.set_grad_enabled(learning and last):
                carry = self._cycle(question, carry, step)
        scores = self.output(carry.answer)[:, self.spec.slots :]
        halting = self.halt(carry.answer[:, 0]).float()[:, 0]
        return Round(scores, halting, carry)

    def _cycle(self, question: Tensor, carry: Carry, step: Step) -> Carry:
        scratch = carry.scratch
        for _ in range(self.spec.inner):
            scratch = self._refined(scratch + (carry.answer + question), step)
        return Carry(self._refined(carry.answer + scratch, step), scratch)

    def _refined(self, x: Tensor, step: Step) -> Tensor:
        for layer in self.layers:
            x = layer(x, step)
        return x

    def _slots(self, batch: int, puzzle: Tensor | None, like: Tensor) -> Tensor:
        """Return the vectors before the question: (batch, slots, width)."""
        shape = (batch, self.spec.slots * self.spec.width)
        slots = like.new_zeros(shape)
        if self.puzzles is not None:
            chosen = torch.zeros(batch, dtype=torch.long, device=like.device)
            found = self.puzzles(chosen if puzzle is None else puzzle)
            slots = torch.cat((found, slots[:, found.shape[1] :]), dim=1)
        return slots.unflatten(1, (self.spec.slots, self.spec.width))
