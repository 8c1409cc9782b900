"""A forced call is one that the family's own reader reads, whatever the model would write."""

from __future__ import annotations

import json

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from fathom.inputs.pieces import byte_alphabet
from fathom.serving.service import Tool, ToolCall
from fathom.serving.tool_calls import FAMILIES, CallReader, Family, forced, specials

llguidance = pytest.importorskip("llguidance", reason="part of the serve extra")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = (Tool("get_weather", parameters=SCHEMA), Tool("now"))


class Bytes:
    """A vocabulary of single bytes and special tokens."""

    def __init__(self, special: list[str]) -> None:
        self.backend = tokenizers.Tokenizer(models.BPE(dict(byte_alphabet()), []))
        self.backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.backend.decoder = decoders.ByteLevel()
        self.backend.add_special_tokens(["</s>", *special])
        self.special_ids = [self.backend.token_to_id(token) for token in special]

    def id_to_token(self, id: int) -> str | None:
        return self.backend.id_to_token(id)


def written(family: Family, *calls: tuple[str, str]) -> str:
    """Return calls as the family's frame has them."""
    frame = family.frame
    each = [frame.before.replace("{name}", name) + given + frame.after for name, given in calls]
    return frame.list_before + frame.joint.join(each) + frame.list_after


def accepts(vocabulary: Bytes, grammar: str, text: str) -> bool:
    """Tell whether a grammar takes a text to its end."""
    read = llguidance.LLTokenizer(vocabulary.backend.to_str(), eos_token=[256])
    lark = llguidance.LLMatcher.grammar_from_lark(grammar)
    matcher = llguidance.LLMatcher(read, lark, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    for token in vocabulary.backend.encode(text, add_special_tokens=False).ids:
        if not matcher.consume_token(token):
            return False
    return bool(matcher.is_accepting())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("special", [False, True], ids=["text", "special tokens"])
def test_a_forced_call_is_read_again(family: Family, special: bool) -> None:
    marks = [mark for mark in family.marks if " " not in mark and mark[0] in "<["]
    vocabulary = Bytes(marks if special else [])
    known = specials(family, vocabulary)
    assert set(known) == (set(marks) if special else set())
    one = written(family, ("get_weather", '{"city": "Köln"}'))
    two = written(family, ("get_weather", '{"city": "Köln"}'), ("now", "{}"))
    alone = forced(family, TOOLS, parallel=False, specials=known)
    several = forced(family, TOOLS, parallel=True, specials=known)
    assert accepts(vocabulary, alone, one)
    assert accepts(vocabulary, several, one)
    assert accepts(vocabulary, several, two)
    assert not accepts(vocabulary, alone, two)
    assert not accepts(vocabulary, alone, written(family, ("get_weather", '{"town": 1}')))
    assert not accepts(vocabulary, alone, written(family, ("other", "{}")))
    reader = CallReader(family, TOOLS)
    calls = [part for part in (*reader.push(two), *reader.flush()) if part]
    assert [call.name for call in calls if isinstance(call, ToolCall)] == ["get_weather", "now"]
    assert len(calls) == 2  # and no text
    assert json.loads(calls[0].arguments) == {"city": "Köln"}
