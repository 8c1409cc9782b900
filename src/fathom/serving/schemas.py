"""Bodies of requests: JSON read strictly, and objects in which nothing is overlooked.

A field of the wrong type, out of its bounds or dangerous is refused; one that nobody here knows is
accepted, and the answer says that it was not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fathom.checkpoint.documents import parse_json
from fathom.errors import ModelFileError, RequestError
from fathom.serving.bounds import STRANGE_FIELDS, number, size

# What a body must not ask for, whatever the shape: it would run a stranger's program, read a
# stranger's file, or is not for a caller to choose.
REFUSED: Mapping[str, str] = {
    "chat_template": "templates are programs; the model's own is used",
    "chat_template_kwargs": "say reasoning_effort or think in its place",
    "prompt_embeds": "give a text or token ids",
    "lora_path": "open the model with its adapter and ask for it by name",
    "logits_processors": "say logit_bias in its place",
    "guided_decoding_backend": "there is one",
}
_MOST_SAID = 20  # unknown fields that are named
_SYNTAX: Mapping[str, str] = {
    "E_HEADER_SYNTAX": "is not valid JSON with an object outermost",
    "E_HEADER_ENCODING": "is not UTF-8, or holds half of a character",
    "E_DUPLICATE": "has a key twice in one object",
    "E_NONFINITE": "holds a number that is not finite, of which JSON has none",
    "E_DEPTH": "is nested too deeply",
}

Text: TypeAlias = Annotated[str, size("text")]
Name: TypeAlias = Annotated[str, size("name")]
Label: TypeAlias = Annotated[str, size("label")]
Token: TypeAlias = Annotated[int, number("token")]
Tokens: TypeAlias = Annotated[list[Token], size("tokens")]
Count: TypeAlias = Annotated[int, number("n")]
MaxTokens: TypeAlias = Annotated[int, number("max_tokens")]
Temperature: TypeAlias = Annotated[float, number("temperature")]
TopP: TypeAlias = Annotated[float, number("top_p")]
TopK: TypeAlias = Annotated[int, number("top_k")]
MinP: TypeAlias = Annotated[float, number("min_p")]
Seed: TypeAlias = Annotated[int, number("seed")]
Presence: TypeAlias = Annotated[float, number("presence_penalty")]
Frequency: TypeAlias = Annotated[float, number("frequency_penalty")]
Repetition: TypeAlias = Annotated[float, number("repetition_penalty")]
Logprobs: TypeAlias = Annotated[int, number("logprobs")]
Bias: TypeAlias = Annotated[dict[Name, Annotated[float, number("bias")]], size("biases")]
Stop: TypeAlias = Annotated[str, size("stop")]
Stops: TypeAlias = Stop | Annotated[list[Stop], size("stops")]
Picture: TypeAlias = Annotated[str, size("picture")]
ToolName: TypeAlias = Annotated[str, size("tool_name")]
# An object that is handed on as it is, such as a JSON schema or a call's arguments.
Anything: TypeAlias = Annotated[dict[str, Any], size("entries")]


class Body(BaseModel):
    """An object of a request.

    Attributes:
        harmless: fields that are known, and change no answer.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    harmless: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            found = next((name for name in REFUSED if value.get(name) is not None), None)
            if found is not None:
                raise ValueError(f"{found} is not taken here: {REFUSED[found]}")
            strange = len(value.keys() - cls.model_fields.keys())
            if strange > STRANGE_FIELDS:
                raise ValueError(f"{strange:,} unknown fields; leave them out")
        return value

    def warnings(self) -> list[str]:
        """Return what of the body is not known here and was not used, a line each."""
        found = list(_strange(self, ""))
        more = len(found) - _MOST_SAID
        said = [f"{name} is not known here and was not used" for name in found[:_MOST_SAID]]
        return said + ([f"{more:,} more fields are not known here"] if more > 0 else [])


class Handed(Body):
    """An object of which more than its fields may be said, and nothing is told of that."""

    harmless: ClassVar[frozenset[str]] = frozenset("*")


def held(alias: str) -> Any:  # pydantic's own marks have no type that it tells
    """Return a field that is called otherwise in JSON, where its own name would hide another."""
    return Field(default=None, alias=alias)


def parsed(raw: bytes) -> dict[str, object]:
    """Read a body.

    Raises:
        RequestError: for what is no JSON object, holds NaN, Infinity or 1e400, a key twice, half
            a character, or too many levels.
    """
    try:
        return parse_json(raw, file=Path("body"))
    except ModelFileError as error:
        raise RequestError(f"the body {_SYNTAX[error.code]}; correct it") from error


def _strange(body: Body, where: str) -> Iterator[str]:
    """Yield the places of fields that nobody knows."""
    if "*" not in body.harmless:
        for name, value in (body.model_extra or {}).items():
            if name not in body.harmless and value is not None:
                yield f"{where}{name[:80]}"
    for name in type(body).model_fields:
        value = getattr(body, name)
        for at, each in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(each, Body):
                place = f"{where}{name}[{at}]." if isinstance(value, list) else f"{where}{name}."
                yield from _strange(each, place)
