"""Training a tiny recursive model on puzzles that are made as it goes.

The recipe of Jolicoeur-Martineau, 2025 (arXiv 2510.04871): deep supervision, where each step of
the optimiser is one round of every puzzle at hand and the carry stays; a puzzle is replaced by a
new one when the model halts it or its rounds are over. Stablemax instead of softmax, a learned
halt, and an average of the weights over time, which is what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.models.assemble import assemble
from fathom.models.recursive import Carry, Recursive
from fathom.spec import recursive as spec
from fathom.tuning.recipe import Recipe, Report, average, share_of_rate

# Question and answer as tokens, both (puzzles, length).
Puzzles = tuple[Tensor, Tensor]
Source = Callable[[int], Puzzles]
HALT_WEIGHT = 0.5
EXPLORE = 0.1  # of puzzles must go on for a random number of rounds before they may halt


def begin(described: spec.Recursive, seed: int) -> Recursive:
    """Return a model to train: normal weights as wide as their inputs ask for, cut at two widths.

    The halt begins as good as never, and the vectors of puzzles as nothing.
    """
    torch.manual_seed(seed)
    model = assemble(described).to_empty(device="cpu")
    for name, parameter in model.named_parameters():
        width = 1.0 if name.endswith("_start") else parameter.shape[-1] ** -0.5
        nn.init.trunc_normal_(parameter, std=width, a=-2 * width, b=2 * width)
        parameter.requires_grad_(not name.endswith("_start"))  # where states begin is not learned
    assert isinstance(model, Recursive)
    nn.init.zeros_(model.halt.weight)
    nn.init.constant_(model.halt.bias, -5.0)  # type: ignore[arg-type]  # its spec gives it one
    if model.puzzles is not None:
        nn.init.zeros_(model.puzzles.weight)
    return model


def train(
    described: spec.Recursive,
    source: Source,
    recipe: Recipe,
    watch: Callable[[Report], None] = lambda report: None,
) -> Recursive:
    """Return a trained model; `watch` is told of every step, and may raise to stop.

    `source` gives so many new puzzles as tokens. Puzzles come from it alone, so a seeded source
    and the recipe's seed make the run repeatable.
    """
    model = begin(described, recipe.seed)
    kept = deepcopy(model)
    for report in averaging(kept, model, source, recipe):
        watch(report)
    return kept.requires_grad_(False).eval()


def averaging(
    kept: Recursive, model: Recursive, source: Source, recipe: Recipe
) -> Iterator[Report]:
    """Train a model in place, step by step, and have `kept` follow it as the average."""
    for report in steps(model, source, recipe):
        average(kept, model, recipe.average)
        yield report


def steps(model: Recursive, source: Source, recipe: Recipe) -> Iterator[Report]:
    """Train a model in place, step by step."""
    learned = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(
        learned, lr=recipe.rate, betas=(0.9, 0.95), weight_decay=recipe.decay
    )
    chance = torch.Generator().manual_seed(recipe.seed)
    at_hand = _AtHand.fresh(model, source(recipe.batch), chance)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * share_of_rate(step, recipe)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.rounded):
            loss, right, halting = _loss(model, at_hand)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield Report(step + 1, loss.item(), right.float().mean().item())
        at_hand.renew(model, source, halting > 0, chance)


@dataclass
class _AtHand:
    """The puzzles that are being solved, each in its own round."""

    questions: Tensor
    answers: Tensor
    carry: Carry
    rounds: Tensor  # done so far, (puzzles)
    least: Tensor  # before a puzzle may halt, (puzzles)

    @classmethod
    def fresh(cls, model: Recursive, puzzles: Puzzles, chance: torch.Generator) -> _AtHand:
        count = len(puzzles[0])
        none = torch.zeros(count, dtype=torch.long)
        return cls(*puzzles, model.start(count), none, _least(model, count, chance))

    def renew(
        self, model: Recursive, source: Source, halted: Tensor, chance: torch.Generator
    ) -> None:
        """Put new puzzles in the place of those that ended."""
        self.rounds = self.rounds + 1
        over = (self.rounds >= model.spec.rounds) | (halted & (self.rounds >= self.least))
        count = int(over.sum())
        if not count:
            return
        questions, answers = source(count)
        start = model.start(count)
        self.questions[over], self.answers[over] = questions, answers
        self.carry.answer[over], self.carry.scratch[over] = start.answer, start.scratch
        self.rounds[over], self.least[over] = 0, _least(model, count, chance)


def _least(model: Recursive, count: int, chance: torch.Generator) -> Tensor:
    """Return how many rounds puzzles must take before they may halt: most of them one."""
    rounds = model.spec.rounds
    explores = torch.rand(count, generator=chance) < EXPLORE
    drawn = torch.randint(min(2, rounds), rounds + 1, (count,), generator=chance)
    return torch.where(explores, drawn, 1)


def _loss(model: Recursive, at_hand: _AtHand) -> tuple[Tensor, Tensor, Tensor]:
    """Do one round; return its loss, which puzzles are solved by it, and what the halt says."""
    question = model.question(at_hand.questions)
    found = model.round(question, at_hand.carry, learning=True)
    right = (found.scores.argmax(dim=-1) == at_hand.answers).all(dim=-1)
    wrong = stablemax_loss(found.scores, at_hand.answers).mean()
    halt = functional.binary_cross_entropy_with_logits(found.halting, right.float())
    carry = found.carry.detached()
    at_hand.carry = Carry(carry.answer.clone(), carry.scratch.clone())
    return wrong + HALT_WEIGHT * halt, right, found.halting.detach()


def stablemax_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Return each token's cross-entropy under stablemax, in float64; scores are (…, vocabulary).

    Stablemax puts ``x + 1`` for x ≥ 0 and ``1 / (1 - x)`` below in the place of exp, so that no
    score has to grow without bound (Prieto et al., 2025, arXiv 2501.04697).
    """
    x = scores.double()
    grown = torch.where(x >= 0, x + 1, 1 / (1 - x.clamp(max=0)))
    chosen = grown.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return grown.sum(dim=-1).log() - chosen.log()


def without_recursion(described: spec.Recursive) -> spec.Recursive:
    """Return the same parameters passed once: what recursion is to be compared with."""
    return replace(described, cycles=1, inner=1, rounds=1)
