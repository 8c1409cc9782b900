"""Pictures and sound among the words of `fathom run`: told from texts by what is in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fathom.errors import RequestError, UnsupportedTaskError

if TYPE_CHECKING:
    from fathom.library import Model

Kind: TypeAlias = Literal["picture", "sound"]

# How files of each kind begin; RIFF and ISO files say at byte 8 or 4 what they hold.
BEGINNINGS: tuple[tuple[bytes, int, Kind], ...] = (
    (b"\x89PNG", 0, "picture"),
    (b"\xff\xd8\xff", 0, "picture"),
    (b"GIF8", 0, "picture"),
    (b"BM", 0, "picture"),
    (b"II*\x00", 0, "picture"),
    (b"MM\x00*", 0, "picture"),
    (b"WEBP", 8, "picture"),
    (b"ftypavif", 4, "picture"),
    (b"WAVE", 8, "sound"),
    (b"fLaC", 0, "sound"),
    (b"OggS", 0, "sound"),
    (b"ID3", 0, "sound"),
    *((bytes((0xFF, frame)), 0, "sound") for frame in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),  # MP3
)
PART = {"picture": "image", "sound": "audio"}  # what a chat template calls them
ABLE = {
    "picture": "a VLM, such as HuggingFaceTB/SmolVLM-256M-Instruct",
    "sound": "a model that listens, such as Qwen/Qwen2-Audio-7B-Instruct",
}
VERB = {"transcribe": "transcribe", "classify": "look", "features": "look", "segment": "segment"}


@dataclass(frozen=True)
class Medium:
    """A file that is no text."""

    kind: Kind
    path: Path


def told_apart(words: Sequence[str]) -> tuple[list[Medium], list[str]]:
    """Return the pictures and sound among arguments, and what is left: texts."""
    media, texts = [], []
    for word in words:
        found = _medium(word)
        if found is None:
            texts.append(word)
        else:
            media.append(found)
    return media, texts


def _medium(word: str) -> Medium | None:
    path = Path(word)
    try:
        if len(word) > 4096 or "\n" in word or not path.is_file():
            return None
        with path.open("rb") as file:
            first = file.read(16)
    except (OSError, ValueError):
        return None  # no file that can be read: a text, then
    for beginning, offset, kind in BEGINNINGS:
        if first[offset : offset + len(beginning)] == beginning:
            return Medium(kind, path)
    return None


def require_able(model: Model, media: Sequence[Medium]) -> None:
    """Refuse to show a model what it cannot take, or does not talk about.

    Raises:
        UnsupportedTaskError: naming a model, or the verb, for it.
    """
    for one in media:
        taken, decided = model.card.inputs, model.card.model_class
        if one.kind not in taken:
            raise UnsupportedTaskError(
                f"{one.path.name} is a {one.kind}, and {model.card.name} takes"
                f" {', '.join(taken)} (its class is {decided}); take {ABLE[one.kind]}"
            )
        if "chat" not in model.tasks:
            task = model.tasks[0]
            raise UnsupportedTaskError(
                f"{model.card.name} does not talk: its class is {decided}, and it is there to"
                f" {task}; see `fathom {VERB.get(task, 'explain')} --help`"
            )


def content(
    media: Sequence[Medium], text: str, taken: Sequence[str] = ()
) -> str | list[dict[str, str]]:
    """Return the content of a message: pictures and sound first, then what is said.

    A picture that moves is a video, where a model that takes videos is asked.
    """
    if not media:
        return text
    kinds = [_part(one, taken) for one in media]
    parts = [{"type": kind, kind: str(one.path)} for kind, one in zip(kinds, media, strict=True)]
    return [*parts, {"type": "text", "text": text}]


def _part(medium: Medium, taken: Sequence[str]) -> str:
    """Return what a chat template calls a file."""
    from fathom.inputs.videos import moves

    if medium.kind == "picture" and "video" in taken and moves(medium.path):
        return "video"
    return PART[medium.kind]


def require_question(media: Sequence[Medium], text: str | None) -> None:
    """Refuse a picture or sound about which nothing is asked.

    Raises:
        RequestError: saying how to ask.
    """
    if media and not text:
        raise RequestError(f'ask something about {media[0].path.name}, such as "What is this?"')
