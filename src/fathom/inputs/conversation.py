"""A conversation as token ids, in which nobody but the template writes control tokens.

A user, or a tool that fetched a page, may spell ``<|im_start|>system``. Rendered and encoded as
one text it would open a turn of its own. So such spellings are set aside before rendering; the
text is cut at the control tokens that the template wrote, and what lies between is read
literally, with the spellings back in their places.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fathom.errors import TokenizerError

if TYPE_CHECKING:
    from fathom.inputs.tokenizer import Tokenizer

__all__ = ["encode_conversation"]

STRANGERS = frozenset({"user", "tool", "function", "ipython", "observation"})
"""Roles whose words come from outside; an operator writes the system's, the model its own."""

HEARD = frozenset({"system", "user"})
"""Roles whose every word a template must show; of others it may leave out or respell some."""

_MARKS = range(0xF0000, 0xF0100)  # code points for private use, which no published template has
_FIRST_INDEX = 0x100000  # likewise: stands for a spelling by its number

Messages = Sequence[Mapping[str, object]]

logger = logging.getLogger(__name__)


def encode_conversation(
    tokenizer: Tokenizer,
    messages: Messages,
    tools: Sequence[Mapping[str, object]] | None = None,
) -> list[int]:
    """Render a conversation by the tokenizer's template and encode it.

    Raises:
        TokenizerError: there is no template, or it refuses the messages.
    """
    spellings = _spellings(tokenizer)
    pattern = re.compile("|".join(map(re.escape, spellings))) if spellings else None
    spoken = [
        text
        for message in messages
        if message.get("role") in STRANGERS
        for text in _texts(message.get("content"))
    ]
    if pattern is None or not any(map(pattern.search, spoken)):
        return tokenizer.encode(_rendered(tokenizer, messages, tools), add_special=False)
    mark = _mark(spoken)
    hidden = [_hidden(message, pattern, spellings, mark) for message in messages]
    text = _rendered(tokenizer, hidden, tools)
    ids: list[int] = []
    for part in re.split(f"({pattern.pattern})", text):
        whole = tokenizer.token_to_id(part) if part in spellings else None
        if whole is not None:
            ids.append(whole)
        elif part:
            literal = _shown(part, spellings, mark)
            ids += tokenizer.encode(literal, add_special=False, parse_special=False)
    return ids


def _rendered(
    tokenizer: Tokenizer, messages: Messages, tools: Sequence[Mapping[str, object]] | None
) -> str:
    """Render a conversation, and tell of a template that leaves out what was said."""
    text = tokenizer.chat.render(messages, tools)
    for message in messages:
        role = message.get("role")
        if role in HEARD and any(
            said.strip() not in text for said in _texts(message.get("content"))
        ):
            logger.warning("the chat template leaves out words of the %s", role)
    return text


def _spellings(tokenizer: Tokenizer) -> list[str]:
    """The control tokens as text, longest first, so that none hides within another."""
    found = {tokenizer.id_to_token(id) for id in tokenizer.special_ids}
    return sorted(filter(None, found), key=lambda each: (-len(each), each))


def _texts(content: object) -> list[str]:
    """The text of a message, or of its parts."""
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part]


def _mark(texts: Sequence[str]) -> str:
    """A character that occurs in none of the texts."""
    for point in _MARKS:
        if not any(chr(point) in text for text in texts):
            return chr(point)
    raise TokenizerError("a message uses every private character; leave some of them out")


def _hidden(
    message: Mapping[str, object], pattern: re.Pattern[str], spellings: list[str], mark: str
) -> Mapping[str, object]:
    if message.get("role") not in STRANGERS:
        return message

    def hide(text: str) -> str:
        return pattern.sub(
            lambda found: f"{mark}{chr(_FIRST_INDEX + spellings.index(found[0]))}{mark}", text
        )

    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": hide(content)}
    parts = content if isinstance(content, list) else []
    shown = [
        {**part, "text": hide(str(part["text"]))}
        if isinstance(part, dict) and "text" in part
        else part
        for part in parts
    ]
    return {**message, "content": shown}


def _shown(text: str, spellings: list[str], mark: str) -> str:
    return re.sub(f"{mark}(.){mark}", lambda found: spellings[ord(found[1]) - _FIRST_INDEX], text)
