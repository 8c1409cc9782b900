"""How families of models mark, show, bill and budget thought; and an account of its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fathom.catalog import facts
from fathom.catalog.evidence import Entry

FILE = "reasoning.toml"


@dataclass(frozen=True, slots=True)
class Thinking:
    """How one family thinks.

    Attributes:
        card: the model of the catalogue, where there is one.
        marks: what stands around thought, or which field it comes in.
        price: US dollars for a million tokens in and out when it was new; None where it was not
            sold by the token.
    """

    name: str
    title: str
    card: str | None
    marks: str
    shown: str
    billed: str
    budget: str
    switch: str
    later: str
    price: tuple[float, float] | None
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens of one question: prompt, thought, answer."""

    prompt: int
    thought: int
    answer: int


@dataclass(frozen=True, slots=True)
class Account:
    """What a turn costs in US dollars: all of it, and what of it is thought."""

    total: float
    thought: float


@cache
def families() -> Mapping[str, Thinking]:
    """All families by name, in the order of the file."""
    entries = facts.entries(FILE)
    return MappingProxyType(
        {name: _family(Entry(FILE, name, row)) for name, row in entries.items()}
    )


def account(turn: Turn, price: tuple[float, float]) -> Account:
    """Return what a turn costs where thought is billed as output, as everybody does."""
    read, written = (dollars / 10**6 for dollars in price)
    thought = turn.thought * written
    return Account(turn.prompt * read + thought + turn.answer * written, thought)


def _family(entry: Entry) -> Thinking:
    return Thinking(
        name=entry.name,
        title=entry.text("title"),
        card=entry.optional("card") or None,
        marks=entry.text("marks"),
        shown=entry.text("shown"),
        billed=entry.text("billed"),
        budget=entry.text("budget"),
        switch=entry.text("switch"),
        later=entry.text("later"),
        price=_price(entry),
        source=entry.text("source"),
        date=entry.text("date"),
    )


def _price(entry: Entry) -> tuple[float, float] | None:
    if "price" not in entry.table:
        return None
    row = entry.row("price", entry.table["price"]).table
    dollars = [row.get("in"), row.get("out")]
    if not all(isinstance(each, float) and each >= 0 for each in dollars):
        raise entry.fault("price", "must be { in = …, out = … } in US dollars, such as 0.5")
    return float(str(dollars[0])), float(str(dollars[1]))
