"""Pictures, videos and sound among the words of a conversation, told apart from them.

A message's content is a text, or a list of parts: ``{"type": "text", "text": …}``, and for the
rest whatever transformers or the OpenAI API take: ``{"type": "image", "image": …}`` with a file,
bytes, an array or a Pillow picture; ``{"type": "video", "video": …}`` with a file or a list of
frames; ``{"type": "audio", "audio": …}``; ``path`` and ``base64`` under any of these types;
``{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}`` and
``{"type": "input_audio", "input_audio": {"data": …, "format": "wav"}}``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from fathom.errors import RequestError

Kind: TypeAlias = Literal["image", "video", "audio"]

# What a part may be said to be, and the keys that alone say it.
TYPES: Mapping[str, Kind] = {
    **dict.fromkeys(("image", "picture", "image_url", "input_image"), "image"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
    **dict.fromkeys(("audio", "sound", "audio_url", "input_audio"), "audio"),
}
ANY = ("path", "url", "base64")  # keys that hold what the type of the part says
NAMES: Mapping[Kind, str] = {"image": "picture", "video": "video", "audio": "sound"}
# A part as a template is shown it: some ask for the type, some for a key.
SHOWN: Mapping[Kind, Mapping[str, str]] = {
    "image": {"type": "image"},
    "video": {"type": "video"},
    "audio": {"type": "audio", "audio_url": "sound"},
}


@dataclass(frozen=True, eq=False)
class Medium:
    """One picture, video or sound, not yet read.

    `source` is a file, the bytes of one, an array, a Pillow picture, or of a video a sequence of
    pictures.
    """

    kind: Kind
    source: object


Messages: TypeAlias = Sequence[Mapping[str, object]]


def told_apart(messages: Messages) -> tuple[list[dict[str, object]], list[Medium]]:
    """Return messages as a template may see them, and what stands in them, in order.

    Raises:
        RequestError: for a part that says it holds something and does not, or that names what
            lies elsewhere: nothing is fetched.
    """
    media: list[Medium] = []
    shown: list[dict[str, object]] = []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, list | tuple):
            shown.append(dict(message))
            continue
        parts: list[object] = []
        for part in content:
            found = _medium(part) if isinstance(part, Mapping) else None
            parts.append(part if found is None else dict(SHOWN[found.kind]))
            media += [] if found is None else [found]
        shown.append({**message, "content": parts})
    return shown, media


def in_parts(messages: Messages) -> list[dict[str, object]]:
    """Return messages whose texts are lists of one part, for templates that take lists only."""
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else dict(message)
        for message in messages
    ]


def questioned(shown: Messages) -> tuple[int, str]:
    """Return how many pictures a single question is about, and its text.

    Raises:
        RequestError: for more than one message, which a model without a template cannot take.
    """
    if len(shown) != 1:
        raise RequestError(
            "this model was trained to answer one question at a time and has no chat template;"
            " send one message, with its pictures"
        )
    content = shown[0].get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [str(part["text"]) for part in parts if part.get("type") == "text"]
    return sum(part.get("type") == "image" for part in parts), " ".join(texts)


def _medium(part: Mapping[str, object]) -> Medium | None:
    """Return what a part holds; None for a text."""
    stated = part.get("type")
    if stated == "text":
        return None
    kind = TYPES.get(stated) if isinstance(stated, str) else None
    if kind is None:
        kind = next((TYPES[key] for key in part if key in TYPES and part[key] is not None), None)
    if kind is None:
        return None
    keys = (*(key for key, of in TYPES.items() if of == kind), *ANY)
    held = next(((key, part[key]) for key in keys if part.get(key) is not None), None)
    source = None if held is None else _source(*held)
    if source is None:
        name = NAMES[kind]
        raise RequestError(
            f'a part of type "{kind}" needs its {name}: {{"type": "{kind}", "{kind}": a file,'
            " bytes, an array, or pictures as Pillow has them}"
        )
    return Medium(kind, source)


def _source(key: str, held: object) -> object | None:
    """Return what is held under a key, brought to a file, bytes or pixels; None for neither."""
    if isinstance(held, Mapping):  # OpenAI's {"url": …} and {"data": …, "format": …}
        inner = next((name for name in ("url", "path", "data") if held.get(name)), None)
        return None if inner is None else _source(_WRITTEN.get(inner, inner), held[inner])
    if isinstance(held, str):
        if held.startswith("data:"):
            return _decoded(held.partition(",")[2])
        if held.startswith(("http://", "https://")):
            raise RequestError(f"nothing is fetched from {held[:60]!r}; save it and give its path")
        return _decoded(held) if key == "base64" else held.removeprefix("file://")
    known = isinstance(held, Path | bytes) or any(hasattr(held, name) for name in _PIXELS)
    return held if known or (isinstance(held, list | tuple) and held) else None


_WRITTEN = {"data": "base64"}
_PIXELS = ("shape", "convert", "pixels")  # of an array, of Pillow's pictures, of ours


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("what a part holds in base64 is broken; encode it again") from None
