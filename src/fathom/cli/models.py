"""`fathom models`: the models of the catalogue, chosen and sorted by what is known of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from fathom.cli.output import print_columns, print_json
from fathom.errors import NotFoundError, RequestError, nearest

if TYPE_CHECKING:
    from fathom.catalog.models import Model

EXAMPLES = """\
  fathom models --class SLM --max-params 4B --licence commercial
  fathom models --maker mistral --sort params
  fathom models --domain law --json
  fathom models --since 2025 --openness open-source
"""
_LAST = "9999"  # sorts what has no date behind what has


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `models`."""
    parser.add_argument("--class", dest="model_class", metavar="CLASS", help="SLM, MoE, VLM …")
    parser.add_argument("--domain", help="code, law, medicine, weather …")
    parser.add_argument("--maker", help="who made it: meta, google, mistral …")
    parser.add_argument("--family", help="llama, gemma, qwen …")
    parser.add_argument("--licence", help="its name, or 'commercial' for those that allow it")
    parser.add_argument("--openness", help="open-source, open-weights, research-only, closed …")
    parser.add_argument("--max-params", metavar="N", help="with a variant of at most 8B, 500M …")
    parser.add_argument("--since", metavar="DATE", help="released on or after 2024, 2024-06 …")
    parser.add_argument(
        "--sort", default="released", help="released (default), name, maker, params or context"
    )


def run(args: argparse.Namespace) -> int:
    """Print the models that pass every filter."""
    from fathom.catalog.export import card

    chosen = _sorted(_chosen(args), args.sort)
    if args.json:
        print_json({"models": [card(model) for model in chosen]})
        return 0
    if not chosen:
        raise NotFoundError("No model passes all of these; leave one out, or try a wider one")
    head = ("name", "maker", "released", "parameters", "context", "licence", "class")
    print_columns([head, *map(_row, chosen)])
    print(f"\n{len(chosen)} models; `fathom model NAME` shows one with its sources")
    return 0


def _chosen(args: argparse.Namespace) -> list[Model]:
    from fathom.catalog.models import models

    found = list(models().values())
    words = {"classes": args.model_class, "domain": args.domain, "family": args.family}
    for field, asked in {**words, "openness": args.openness}.items():
        if asked is not None:
            word = _spelled(asked, _known(_all(), field), field)
            found = [model for model in found if word in _said(model, field)]
    if args.maker is not None:
        maker = _maker(args.maker)
        found = [model for model in found if model.maker == maker]
    if args.licence is not None:
        allowed = _licences(args.licence)
        found = [model for model in found if model.text("licence") in allowed]
    if args.max_params is not None:
        most = _parameters(args.max_params)
        found = [model for model in found if model.smallest is not None and model.smallest <= most]
    if args.since is not None:
        _require_date(args.since)
        found = [model for model in found if (model.text("released") or "") >= args.since]
    return found


def _all() -> Iterable[Model]:
    """Every card: a filter's word is looked up among all, whatever other filters leave."""
    from fathom.catalog.models import models

    return models().values()


def _said(model: Model, field: str) -> tuple[str, ...]:
    words = model.words(field)
    text = model.text(field)
    return words if text is None else (text,)


def _known(all_models: Iterable[Model], field: str) -> list[str]:
    return sorted({word for model in all_models for word in _said(model, field)})


def _spelled(asked: str, known: Iterable[str], field: str) -> str:
    """Return a word as cards spell it; else name the nearest and list all."""
    names = {word.casefold(): word for word in known}
    if asked.casefold() not in names:
        kind = "class" if field == "classes" else field
        raise NotFoundError(
            f"No card has the {kind} '{asked}'.{nearest(asked.casefold(), names)} "
            f"Known are: {', '.join(names.values())}."
        )
    return names[asked.casefold()]


def _maker(asked: str) -> str:
    from fathom.catalog.makers import makers

    names = {key.casefold(): key for key in makers()}
    names |= {maker.title.casefold(): key for key, maker in makers().items()}
    found = names.get(asked.casefold())
    if found is None:
        raise NotFoundError(f"No maker is called '{asked}'.{nearest(asked.casefold(), names)}")
    return found


def _licences(asked: str) -> set[str]:
    from fathom.catalog.licences import licences

    if asked.casefold() == "commercial":
        return {
            name
            for name, licence in licences().items()
            if licence.commercial != "no" and name != "Proprietary"
        }
    return {_spelled(asked, licences(), "licence")}


def _parameters(text: str) -> int:
    from fathom.catalog.models import figure

    try:
        return figure(text.upper()) or 0
    except ValueError:
        raise RequestError(f"--max-params {text}: write 500M, 7B or 1.5B") from None


def _require_date(text: str) -> None:
    parts = text.split("-")
    if not (1 <= len(parts) <= 3 and len(parts[0]) == 4 and all(p.isdigit() for p in parts)):
        raise RequestError(f"--since {text}: write 2024, 2024-06 or 2024-06-30")


def _sorted(found: list[Model], key: str) -> list[Model]:
    by: Mapping[str, Callable[[Model], tuple[object, ...]]] = {
        "released": lambda model: (model.text("released") or _LAST,),
        "name": lambda model: (model.name,),
        "maker": lambda model: (model.maker, model.text("released") or _LAST),
        "params": lambda model: (model.smallest is None, model.smallest or 0),
        "context": lambda model: (-(model.number("context_in") or 0),),
    }
    if key not in by:
        raise RequestError(f"--sort {key}: sort by {', '.join(by)}")
    return sorted(found, key=lambda model: (*by[key](model), model.name))


def _row(model: Model) -> tuple[str, ...]:
    from fathom.catalog.export import UNKNOWN, sizes

    context = model.number("context_in")
    return (
        *(model.name, model.maker, model.text("released") or UNKNOWN, _short(sizes(model))),
        UNKNOWN if context is None else f"{context:,}",
        model.text("licence") or UNKNOWN,
        " ".join(model.words("classes")),
    )


def _short(sizes: str) -> str:
    """Return the first and the last of many sizes."""
    each = sizes.split(", ")
    return sizes if len(each) <= 2 else f"{each[0]} … {each[-1]}"
