"""How much memory a model gets beside others, from what is predicted before it is opened."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.errors import DoesNotFitError
from fathom.library.opening import fit
from fathom.planning.fit import Fit
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


def allot(card: Card, room: int, *, context: int | None, limits: Limits) -> Allotment:
    """Return what a model gets of `room` bytes.

    Its state holds at least one sequence as long as the context, at best `limits.sequences` of
    usual length. A context that nobody asked for is halved until that fits; one that somebody
    asked for never is.

    Raises:
        DoesNotFitError: when weights and the least state are more than the room.
    """
    if card.context is None or card.inputs != ("text",) or "text" not in card.outputs:
        total = fit(card.name).prediction.total_bytes
        _require(card, total, room)
        return Allotment(total)
    longest = min(context or card.context, card.context)
    tried = longest
    while True:
        found = _decoding(card, tried, room, limits)
        if found is not None:
            break
        if context is not None or tried // 2 < LEAST_CONTEXT:
            _require(card, _needed(card, tried), room)
        tried //= 2
    if tried == longest:
        return found
    note = f"there is room for a context of {tried:,} of {longest:,} positions"
    return Allotment(found.total_bytes, found.state_bytes, found.context, (note,))


def _decoding(card: Card, context: int, room: int, limits: Limits) -> Allotment | None:
    """Return what fits at a context, None where not even one sequence does."""
    prediction = _fit(card, context).prediction
    one = prediction.state_bytes
    fixed = prediction.total_bytes - one
    if fixed + one > room:
        return None
    usual = _fit(card, min(context, USUAL_TOKENS)).prediction.state_bytes
    state = min(max(one, usual * limits.sequences), room - fixed)
    return Allotment(fixed + state, state, context)


def _fit(card: Card, context: int) -> Fit:
    found = fit(card.name, context=context, batch=1)
    if not isinstance(found, Fit):
        raise DoesNotFitError(f"{card.name} is not planned as a text model; ask for it alone")
    return found


def _needed(card: Card, context: int) -> int:
    return _fit(card, context).prediction.total_bytes


def _require(card: Card, needed: int, room: int) -> None:
    if needed > room:
        raise DoesNotFitError(
            f"{card.name} needs {needed / 1e9:.2f} GB and this server may use {room / 1e9:.2f} GB;"
            " give it more with --memory, or ask for a smaller model or --context"
        )
