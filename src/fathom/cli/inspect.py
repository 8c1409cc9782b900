"""`fathom inspect`: what a checkpoint is, from its headers and configuration alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.cli.opening import pickle_argument
from fathom.cli.output import Facts, byte_text, plain, print_columns, print_facts, print_json
from fathom.cli.progress import shown_progress

if TYPE_CHECKING:
    from fathom.checkpoint.contents import Contents
    from fathom.spec.card import Card

EXAMPLES = """\
  fathom inspect smollm2:135m
  fathom inspect ./model.gguf --tensors
  fathom inspect ./model --json
"""
UNSTATED = "not stated"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `inspect`."""
    parser.add_argument("name", metavar="NAME", help="catalogue name, folder, file or hub id")
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    pickle_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the card, and the tensors where asked for."""
    from fathom import library

    card = library.describe(
        args.name, allow_pickle=args.allow_pickle, progress=shown_progress(args.json)
    )
    contents = None
    if args.tensors:
        from fathom.checkpoint.headers import read_headers

        contents = read_headers(Path(card.path), allow_pickle=args.allow_pickle)
    if args.json:
        content = plain(card)
        if contents is not None and isinstance(content, dict):
            content["tensor_list"] = [plain(tensor) for tensor in contents.tensors.values()]
        print_json(content)
        return 0
    print_facts(card_facts(card))
    if contents is not None:
        print()
        print_columns(_tensor_rows(contents), right=frozenset({2}))
    return 0


def card_facts(card: Card) -> Facts:
    """Return the card as label and value, in the order in which a reader asks."""
    facts = [
        ("name", card.name),
        ("title", card.title or UNSTATED),
        ("origin", card.origin),
        ("path", card.path),
        ("format", card.format),
        ("class", card.model_class or UNSTATED),
        ("architecture", card.architecture or UNSTATED),
        ("parameters", _count(card.parameters)),
    ]
    if card.active_parameters not in (None, card.parameters):
        facts.append(("active", f"{card.active_parameters:,} per token"))
    facts += [
        ("context", _count(card.context, "positions")),
        ("vocabulary", _count(card.vocabulary, "tokens")),
        ("stored", f"{byte_text(card.stored_bytes)} in {card.tensors:,} tensors"),
        *_encoding_facts(card),
        ("tokenizer", card.tokenizer or "none"),
        ("chat template", "yes" if card.chat_template else "no"),
        ("input", ", ".join(card.inputs)),
        ("output", ", ".join(card.outputs)),
        ("licence", card.licence or UNSTATED),
    ]
    if card.lineage:
        facts.append(("made from", " ← ".join(card.lineage)))
    return [*facts, *(("note", note) for note in card.notes)]


def _encoding_facts(card: Card) -> Facts:
    """Return one line per tensor type, largest first."""
    largest_first = sorted(card.bytes_by_encoding.items(), key=lambda item: -item[1])
    return [
        (
            "" if position else "tensor types",
            f"{encoding} {byte_text(size)} ({size / max(1, card.stored_bytes):.1%})",
        )
        for position, (encoding, size) in enumerate(largest_first)
    ]


def _count(number: int | None, unit: str = "") -> str:
    return UNSTATED if number is None else f"{number:,} {unit}".rstrip()


def _tensor_rows(contents: Contents) -> list[tuple[str, str, str, str]]:
    """Return name, encoding, bytes and shape of each tensor, in the order of the files."""
    head = ("tensor", "type", "bytes", "shape")
    return [
        head,
        *(
            (tensor.name, tensor.encoding, f"{tensor.size:,}", _shape(tensor.shape))
            for tensor in contents.tensors.values()
        ),
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{extent:,}" for extent in shape) or "one number"
