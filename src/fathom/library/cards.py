"""The card of a checkpoint, joined from its files, its spec and the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fathom.catalog.starters import starters
from fathom.checkpoint.adapters import Adapter
from fathom.checkpoint.adapters import notes as adapter_notes
from fathom.checkpoint.description import Description
from fathom.checkpoint.facts import facts
from fathom.checkpoint.sources.location import Location
from fathom.checkpoint.storage import cache_folder
from fathom.spec.card import Card
from fathom.spec.classes import model_class, model_inputs, model_outputs
from fathom.spec.parts import active, count

if TYPE_CHECKING:
    from fathom.inputs.tokenizer import Tokenizer


def make_card(
    location: Location,
    description: Description,
    adapter: Adapter | None = None,
    tokenizer: Tokenizer | None = None,
) -> Card:
    """Join what the files say, what the spec implies and what the catalogue knows.

    The tokenizer is read if it was not yet.
    """
    stated = facts(description)
    starter = starters().get(location.name)
    contents = description.contents
    tensors = contents.tensors.values() if contents is not None else ()
    by_encoding: dict[str, int] = {}
    for tensor in tensors:
        by_encoding[tensor.encoding] = by_encoding.get(tensor.encoding, 0) + tensor.stored
    spec = description.spec
    total = count(spec)
    tokenizer = tokenizer or find_tokenizer(description, adapter)
    return Card(
        name=location.name,
        origin=location.origin,
        path=str(location.path),
        format=contents.format if contents is not None else "configuration",
        title=(starter.title if starter else None) or stated.title,
        architecture=description.dialect.name,
        model_class=model_class(spec)[0],
        parameters=total,
        active_parameters=active(spec),
        context=getattr(spec, "context", None),
        vocabulary=getattr(spec, "vocabulary", None),
        stored_bytes=contents.size if contents is not None else 0,
        bytes_by_encoding=dict(sorted(by_encoding.items(), key=lambda item: -item[1])),
        tensors=len(contents.tensors) if contents is not None else 0,
        licence=stated.licence or (starter.licence if starter else None),
        tokenizer=None if tokenizer is None else tokenizer.describe,
        chat_template=tokenizer is not None and bool(tokenizer.templates),
        inputs=model_inputs(spec),
        outputs=model_outputs(spec),
        lineage=stated.lineage,
        notes=(*location.notes, *adapter_notes(adapter, description.folder)),
    )


def read_tokenizer(description: Description, adapter: Adapter | None = None) -> Tokenizer:
    from fathom.inputs.tokenizer import Tokenizer

    if adapter is not None and adapter.tokenized:
        return Tokenizer.from_folder(adapter.path, cache_folder() / "tokenizers")
    contents = description.contents
    if contents is not None and contents.format == "gguf":
        found = Tokenizer.from_gguf(contents.metadata)
    else:
        found = Tokenizer.from_folder(description.folder, cache_folder() / "tokenizers")
    rows = getattr(description.spec, "vocabulary", None)
    if isinstance(rows, int):
        found.require_rows(rows)
    return found


def find_tokenizer(description: Description, adapter: Adapter | None = None) -> Tokenizer | None:
    """Return the tokenizer, or None where it is missing or broken."""
    from fathom.errors import TokenizerError

    try:
        return read_tokenizer(description, adapter)
    except TokenizerError:
        return None  # a checkpoint may come without one, and is described all the same


def without_vocabulary(description: Description) -> Description:
    """Return a description without the lists that a GGUF file has its tokenizer made of."""
    contents = description.contents
    if contents is None or contents.format != "gguf":
        return description
    lists = {
        key
        for key, value in contents.metadata.items()
        if key.startswith("tokenizer.")
        and isinstance(value, Sequence)
        and not isinstance(value, str)
    }
    kept = {key: value for key, value in contents.metadata.items() if key not in lists}
    return replace(description, contents=replace(contents, metadata=kept))
