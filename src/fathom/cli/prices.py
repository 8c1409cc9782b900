"""`fathom prices`: what a stated mix of tokens costs on each hosted model, cheapest first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fathom.cli.output import print_columns, print_json
from fathom.errors import NotFoundError, nearest

if TYPE_CHECKING:
    from fathom.catalog.prices import Disagreement, Offer, Quote

EXAMPLES = """\
  fathom prices --workload in=1M,out=200k
  fathom prices gpt-4o claude-4 --workload in=1M,out=200k,cached=4M,reasoning=50k
  fathom prices --provider openai --all --workload in=1M,out=1M,requests=100
"""
_DEFAULT = "in=1M,out=200k"
_SHOWN = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `prices`."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="models; none means every card's")
    parser.add_argument(
        "--workload",
        default=_DEFAULT,
        help=f"in, out, cached, reasoning (tokens), requests (default: {_DEFAULT})",
    )
    parser.add_argument("--provider", help="only this host: openai, groq, together …")
    parser.add_argument("--all", action="store_true", help="also models that have no card here")


def run(args: argparse.Namespace) -> int:
    """Print the costs, and where sources disagree."""
    from fathom.catalog import prices

    load = prices.workload(args.workload)
    chosen = _chosen(args)
    quotes = prices.quote(load, chosen)
    apart = prices.disagreements([quote.offer for quote in quotes])
    if args.json:
        print_json({"workload": load, "quotes": quotes, "disagreements": apart})
        return 0
    limit = len(quotes) if args.names or args.provider else _SHOWN
    _print_quotes(quotes[:limit], {each.offer for each in apart})
    if len(quotes) > limit:
        print(f"… and {len(quotes) - limit} dearer; name models or a --provider to see theirs")
    _print_notes(quotes[:limit], apart)
    return 0


def _chosen(args: argparse.Namespace) -> list[Offer]:
    from fathom.catalog import prices
    from fathom.checkpoint.storage import cache_folder

    found = prices.offers(cache_folder())
    cards = prices.card_names()
    if args.provider is not None:
        hosts = {offer.provider for offer in found}
        if args.provider not in hosts:
            raise NotFoundError(
                f"No host is called '{args.provider}'.{nearest(args.provider, hosts)} "
                f"Known are: {', '.join(sorted(hosts))}."
            )
        found = tuple(offer for offer in found if offer.provider == args.provider)
    if args.names:
        return [offer for name in args.names for offer in _named(name, found)]
    return [offer for offer in found if args.all or offer.name in cards]


def _named(name: str, found: tuple[Offer, ...]) -> list[Offer]:
    """Return the offers of a card, or those whose own name is or contains the word."""
    from fathom.catalog.models import find

    exact = [offer for offer in found if name in (offer.name, offer.model)]
    if exact:
        return exact
    try:
        listed = set(find(name).words("api"))
    except NotFoundError:
        parts = [offer for offer in found if name.casefold() in offer.name.casefold()]
        if not parts:
            raise
        return parts
    offers = [offer for offer in found if offer.name in listed]
    if not offers:
        raise NotFoundError(
            f"No host that we know of offers '{name}' by the token; `fathom prices` lists what is"
        )
    return offers


def _print_quotes(quotes: tuple[Quote, ...], doubtful: set[str]) -> None:
    kinds = [kind for kind in ("input", "cached", "output", "reasoning") if _any(quotes, kind)]
    rows = [("cost", *kinds, "offer", "card")]
    for quote in quotes:
        terms = [_dollars(quote.terms.get(kind, 0)) for kind in kinds]
        mark = " *" if quote.offer.name in doubtful else ""
        rows.append((_dollars(quote.total), *terms, quote.offer.name + mark, quote.card or ""))
    print_columns(rows, right=frozenset(range(len(kinds) + 1)))


def _any(quotes: tuple[Quote, ...], kind: str) -> bool:
    return any(quote.terms.get(kind) for quote in quotes)


def _print_notes(quotes: tuple[Quote, ...], apart: tuple[Disagreement, ...]) -> None:
    shown = {quote.offer.name for quote in quotes}
    print("\nUS dollars; hidden reasoning is billed as output")
    notes: dict[str, int] = {}
    for quote in quotes:
        for note in quote.notes:
            notes[note] = notes.get(note, 0) + 1
    for note, count in notes.items():
        print(f"{count} of them: {note}")
    for each in apart:
        if each.offer in shown:
            told = "; ".join(f"{source} ({date}) ${rate:g}" for source, date, rate in each.told)
            print(f"* {each.offer}, {each.kind} per million: {told}")


def _dollars(amount: float) -> str:
    return f"${amount:,.4f}" if amount < 1 else f"${amount:,.2f}"
