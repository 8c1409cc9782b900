"""Training a tiny model of speech on sounds that are made as it goes.

The decoder learns to write tokens one after the other. Beside it, for the time of training alone,
a matrix over the tower's states learns to spell what it hears in order (connectionist temporal
classification, Graves et al., 2006), without which a decoder this small finds out late where to
look (Watanabe et al., 2017, arXiv 1609.06773).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.blocks.spatial import waves
from fathom.models.assemble import assemble
from fathom.models.speech import Speech
from fathom.spec import speech as spec
from fathom.spec.unet import Waves
from fathom.tuning.recipe import Recipe, Report, average, share_of_rate

# Spectrograms (sounds, bands, frames) and tokens (sounds, length), filled up by `NOTHING`.
Sounds = tuple[Tensor, Tensor]
Source = Callable[[int, float], Sounds]  # how many, and how far training is, from 0 to 1
NOTHING = -100
SPELLING_WEIGHT = 0.5
LONGEST_STEP = 1.0  # of all gradients together


def begin(described: spec.Speech, seed: int) -> Speech:
    """Return a model to train: weights as wide as their inputs ask for, places as waves."""
    torch.manual_seed(seed)
    model = assemble(described).to_empty(device="cpu")
    assert isinstance(model, Speech)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(True)
        if parameter.ndim == 1:
            nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
        else:
            looked_up = "positions" in name or "tokens" in name
            width = 0.02 if looked_up else parameter[0].numel() ** -0.5
            nn.init.trunc_normal_(parameter, std=width, a=-2 * width, b=2 * width)
    table = model.encoder.positions
    if table is None:
        raise TypeError("a tower without a table of places is not trained here")
    places = table.weight
    turns = Waves(places.shape[1], sines_first=True, shift=1)
    places.requires_grad_(False).copy_(waves(torch.arange(len(places)), turns))
    return model


def train(
    described: spec.Speech,
    source: Source,
    letters: int,
    recipe: Recipe,
    watch: Callable[[Report], None] = lambda report: None,
) -> Speech:
    """Return a trained model; `watch` is told of every step, and may raise to stop.

    The first `letters` tokens are text; those after them steer, or stand for times.
    """
    model = begin(described, recipe.seed)
    kept = deepcopy(model)
    for report in steps(model, source, letters, recipe):
        average(kept, model, recipe.average)
        watch(report)
    return kept.requires_grad_(False).eval()


def steps(model: Speech, source: Source, letters: int, recipe: Recipe) -> Iterator[Report]:
    """Train a model in place, step by step; a sound is solved when its letters are right."""
    spelling = nn.Linear(model.spec.width, letters + 1)
    learned = [one for one in (*model.parameters(), *spelling.parameters()) if one.requires_grad]
    optimiser = torch.optim.AdamW(
        learned, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay
    )
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * share_of_rate(step, recipe)
        sounds, tokens = source(recipe.batch, step / recipe.steps)
        written, targets = tokens[:, :-1].clamp(min=0), tokens[:, 1:]
        heard = model.hear(sounds)
        scores = model.scores(model.hidden(written, heard))
        wrong = functional.cross_entropy(
            scores.flatten(0, 1), targets.flatten(), ignore_index=NOTHING
        )
        loss = wrong + SPELLING_WEIGHT * _misspelled(spelling(heard.hidden), targets)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, LONGEST_STEP)
        optimiser.step()
        right = (scores.argmax(dim=-1) == targets) | (targets < 0) | (targets >= letters)
        yield Report(step + 1, wrong.item(), right.all(dim=-1).float().mean().item())


def _misspelled(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of spelling the letters of `targets` (sounds, length) in their order.

    `scores` are (sounds, positions, letters + 1), the last of them for no letter.
    """
    logarithms = scores.log_softmax(dim=-1).transpose(0, 1)
    letters = scores.shape[-1] - 1
    spelled = (targets >= 0) & (targets < letters)
    positions = torch.full((len(targets),), scores.shape[1])
    return functional.ctc_loss(
        logarithms,
        targets[spelled],
        positions,
        spelled.sum(dim=-1),
        blank=letters,
        zero_infinity=True,
    )


@torch.inference_mode()
def write(model: Speech, sounds: Tensor, start: int, end: int) -> list[list[int]]:
    """Return the likeliest token after another for each sound, up to the one that `end`s it."""
    heard = model.hear(sounds)
    tokens = torch.full((len(sounds), 1), start)
    while tokens.shape[1] < model.spec.context and not (tokens == end).any(dim=1).all():
        best = model.scores(model.hidden(tokens, heard)[:, -1]).argmax(dim=-1, keepdim=True)
        tokens = torch.cat((tokens, best), dim=1)
    rows = [row[1:] for row in tokens.tolist()]
    return [row[: row.index(end)] if end in row else row for row in rows]
