"""What stands in a message beside its text: pictures that came inside the request.

Nothing is fetched and no file is opened for a caller, whatever a part names.
"""

from __future__ import annotations

import base64
import binascii

from fathom.errors import RequestError, UnsupportedTaskError
from fathom.serving.bounds import PICTURE_BYTES, SIZES
from fathom.serving.service import Service
from fathom.spec.card import Card

_MOST = SIZES["pictures"].most


def picture_at(url: str) -> dict[str, object]:
    """Return the part of a picture in a data: URL, as models take it.

    Raises:
        RequestError: for an address, which nobody here goes to, or what is no base64.
    """
    head, comma, content = url.partition(",")
    if not url[:5].lower() == "data:":
        raise RequestError(
            "pictures are not fetched from addresses or files; send the picture itself, as"
            " data:image/png;base64,…"
        )
    if not comma or not head.lower().endswith(";base64"):
        raise RequestError("a data: URL of a picture is data:image/png;base64,… in base64")
    return picture_of(content)


def picture_of(content: str) -> dict[str, object]:
    """Return the part of a picture in base64, as models take it.

    Raises:
        RequestError: for what is no base64, or too large.
    """
    if len(content) * 3 // 4 > PICTURE_BYTES:
        raise RequestError(f"a picture has over {PICTURE_BYTES >> 20} MiB; send a smaller one")
    try:
        raw = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("a picture is no valid base64; encode its file again") from None
    if not raw:
        raise RequestError("a picture is empty; send its file in base64")
    return {"type": "image", "image": raw}


def text_part(text: str) -> dict[str, object]:
    """Return a part of text."""
    return {"type": "text", "text": text}


def joined(parts: list[dict[str, object]]) -> str | list[dict[str, object]]:
    """Return parts that are all text as one text, as every template takes it, else as they are."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(str(part["text"]) for part in parts)
    return parts


def sees(card: Card) -> bool:
    """Whether a model reads pictures and writes text."""
    return "picture" in card.inputs and "text" in card.outputs


def require_eyes(service: Service, model: str, messages: list[dict[str, object]]) -> None:
    """Refuse pictures for a model that cannot see, before it is opened, and too many of them.

    Raises:
        UnsupportedTaskError: for a model without eyes.
        RequestError: for too many pictures.
    """
    contents = [message.get("content") for message in messages]
    pictures = sum(
        part["type"] == "image" for parts in contents if isinstance(parts, list) for part in parts
    )
    if not pictures:
        return
    if pictures > _MOST:
        raise RequestError(f"{pictures} pictures; send at most {_MOST} with one request")
    offered = {one.name: one.card for one in service.offered()}
    card = offered.get(model) or offered.get(model.removesuffix(":latest"))
    if card is not None and not sees(card):
        seeing = [name for name, each in offered.items() if sees(each)][:3]
        remedy = f"ask {' or '.join(seeing)}" if seeing else "serve one that sees, such as a VLM"
        raise UnsupportedTaskError(f"{model} reads text only and cannot see pictures; {remedy}")
