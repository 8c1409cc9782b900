"""How much memory a model gets beside others, from what is predicted before it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.errors import DoesNotFitError
from fathom.library.describing import fit
from fathom.planning.fit import Fit
from fathom.planning.predict import Prediction
from fathom.serving.limits import Limits
from fathom.spec.card import Card

USUAL_TOKENS = 2048  # of one of several answers at once; a single one may take all that there is
LEAST_CONTEXT = 512  # below it a chat is of no use


@dataclass(frozen=True)
class Allotment:
    """Bytes for a model and the state of what it writes.

    Attributes:
        total_bytes: of everything that its process will hold.
        state_bytes: of these, for the sequences that it computes together.
        context: positions that it is opened with; None for a model without any.
        notes: what a reader should know, such as a context smaller than the publisher's.
    """

    total_bytes: int
    state_bytes: int = 0
    context: int | None = None
    notes: tuple[str, ...] = ()


def allot(
    card: Card, room: int, *, context: int | None, quant: str | None = None, limits: Limits
) -> Allotment:
    """Return what a model gets of `room` bytes, its weights packed as `quant` where that is given.

    Its state holds at least one sequence as long as the context, at best `limits.sequences` of
    usual length. A context that nobody asked for is halved until that fits; one that somebody
    asked for never is.

    Raises:
        DoesNotFitError: when weights and the least state are more than the room.
    """
    if card.context is None or card.inputs != ("text",) or "text" not in card.outputs:
        total = fit(card.name, quant=quant).prediction.total_bytes
        _require(card, total, room)
        return Allotment(total)
    longest = min(context or card.context, card.context)
    tried = longest
    while True:
        asked = _Asked(card, tried, quant)
        found = _decoding(asked, room, limits)
        if found is not None:
            break
        if context is not None or tried // 2 < LEAST_CONTEXT:
            _require(card, asked.predicted().total_bytes, room)
        tried //= 2
    if tried == longest:
        return found
    note = f"there is room for a context of {tried:,} of {longest:,} positions"
    return Allotment(found.total_bytes, found.state_bytes, found.context, (note,))


@dataclass(frozen=True)
class _Asked:
    """A text model at a context, its weights packed as `quant` where that is given."""

    card: Card
    context: int
    quant: str | None

    def predicted(self, context: int | None = None) -> Prediction:
        """Return what one sequence takes, at this context or another."""
        name, context = self.card.name, self.context if context is None else context
        found = fit(name, context=context, batch=1, quant=self.quant)
        if not isinstance(found, Fit):
            raise DoesNotFitError(f"{name} is not planned as a text model; ask for it alone")
        return found.prediction


def _decoding(asked: _Asked, room: int, limits: Limits) -> Allotment | None:
    """Return what fits at a context, None where not even one sequence does."""
    prediction = asked.predicted()
    one = prediction.state_bytes
    fixed = prediction.total_bytes - one
    if fixed + one > room:
        return None
    usual = asked.predicted(min(asked.context, USUAL_TOKENS)).state_bytes
    state = min(max(one, usual * limits.sequences), room - fixed)
    return Allotment(fixed + state, state, asked.context)


def _require(card: Card, needed: int, room: int) -> None:
    if needed > room:
        raise DoesNotFitError(
            f"{card.name} needs {needed / 1e9:.2f} GB and this server may use {room / 1e9:.2f} GB;"
            " give it more with --memory, or ask for a smaller model or --context"
        )
