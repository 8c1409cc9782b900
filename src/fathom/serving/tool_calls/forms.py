"""What stands between the markers of a call, read as names and arguments.

What a model writes is a stranger's text: it is read as data, within bounds, and nothing of it is
run. What cannot be read raises `UnreadableError`, and is then shown as text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from fathom.serving.service import Tool
from fathom.serving.tool_calls.families import Form
from fathom.serving.tool_calls.scanning import Scanner

LONGEST = 1 << 20  # characters of one call
_LONGEST_EXPRESSION = 1 << 16
_NAME = re.compile(r"[\w.:/-]{1,128}", re.ASCII)
_NAMES = ("name", "tool_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_DEEP = 64
_INVOKED = re.compile(r'<(?:\S+?:|｜DSML｜)?(?:function=|invoke name=")([^">]+)"?>')
_PARAMETER = re.compile(
    r'<(?:｜DSML｜)?parameter(?:=| name=")([^">\s]+)"?(?: string="(\w+)")?>'
    r"(.*?)</(?:｜DSML｜)?parameter>",
    re.DOTALL,
)
_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_HEAD = re.compile(r"(?:<｜tool▁sep｜>|<\|tool_call_argument_begin\|>|\[CALL_ID\]|\[ARGS\]|[\s<{])")
_KIMI = re.compile(r"(?:functions\.)?([\w.-]+):\d+")


class UnreadableError(ValueError):
    """Text that is no call."""


@dataclass(frozen=True)
class Found:
    """A call as it was written; `id` where the model gives it one."""

    name: str
    arguments: str
    id: str | None = None


def read(form: Form, text: str, tools: Sequence[Tool]) -> list[Found]:
    """Return the calls of a text.

    Raises:
        UnreadableError: when it is none.
    """
    if len(text) > LONGEST:
        raise UnreadableError(f"over {LONGEST:,} characters")
    try:
        found = _FORMS[form](text.strip(), tools)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UnreadableError(str(error)) from error
    if not found:
        raise UnreadableError("no call")
    return found


def _json(text: str, tools: Sequence[Tool]) -> list[Found]:
    """Read one call or a list of them: ``{"name": …, "arguments": {…}}``."""
    value = json.loads(text, parse_constant=_refused)
    return [_call(each) for each in (value if isinstance(value, list) else [value])]


def _call(value: object) -> Found:
    if not isinstance(value, Mapping):
        raise UnreadableError("no object")
    inner = value.get("function")
    if isinstance(inner, Mapping):
        return _call(inner)
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), inner)
    if not isinstance(name, str):
        raise UnreadableError("no name")
    given: object = next((value[key] for key in _ARGUMENTS if value.get(key) is not None), {})
    if isinstance(given, str):  # JSON within JSON
        given = json.loads(given, parse_constant=_refused)
    return _found(name, given)


def _named(text: str, tools: Sequence[Tool]) -> list[Found]:
    """Read a name, markers, and an object: ``name<｜tool▁sep｜>{…}``; or as `_json`.

    DeepSeek V3 writes the kind of tool before the name, and a fence around the object.
    """
    if text.startswith(("{", "[{")):
        return _json(text, tools)
    begin = text.find("{")
    if begin < 0:
        raise UnreadableError("no arguments")
    head = text[:begin].removeprefix("function<｜tool▁sep｜>")
    name = _HEAD.split(head, maxsplit=1)[0]
    scanner = Scanner("{")
    end = next((at for at in range(begin, len(text)) if scanner.push(text[at])), None)
    if end is None:
        raise UnreadableError("the arguments do not end")
    given = json.loads(text[begin : end + 1], parse_constant=_refused)
    counted = _KIMI.fullmatch(name)
    if counted:
        return [_found(counted[1], given, id=name)]
    return [_found(name, given)]


def _tagged(text: str, tools: Sequence[Tool]) -> list[Found]:
    """Read ``<function=name><parameter=key>value</parameter></function>``; or as `_json`."""
    if text.startswith("{"):
        return _json(text, tools)
    names = list(_INVOKED.finditer(text))
    ends = [each.start() for each in names[1:]] + [len(text)]
    found = []
    for opened, end in zip(names, ends, strict=True):
        schemas = _schemas(opened[1], tools)
        given = {
            key: _typed(value, schemas.get(key), stated)
            for key, stated, value in _PARAMETER.findall(text, opened.end(), end)
        }
        found.append(_found(opened[1], given))
    return found


def _pairs(text: str, tools: Sequence[Tool]) -> list[Found]:
    """Read ``name<arg_key>key</arg_key><arg_value>value</arg_value>``; or as `_json`."""
    if text.startswith("{"):
        return _json(text, tools)
    name = text.split("<", 1)[0].strip()
    schemas = _schemas(name, tools)
    pairs = _PAIR.findall(text)
    given = {key.strip(): _typed(value, schemas.get(key.strip()), "") for key, value in pairs}
    return [_found(name, given)]


def _pythonic(text: str, tools: Sequence[Tool]) -> list[Found]:
    """Read ``[name(key="value")]``, calls in lines, or ``name.call(key="value")``; or JSON."""
    if text.startswith(("{", "[{")):
        return [call for part in _values(text) for call in _json(part, tools)]
    if len(text) > _LONGEST_EXPRESSION:
        raise UnreadableError("too long an expression")
    _require_shallow(text)
    found = []
    for statement in ast.parse(text, mode="exec").body:
        if not isinstance(statement, ast.Expr):
            raise UnreadableError("no call")
        value = statement.value
        calls = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        found += [_expression(each, tools) for each in calls]
    return found


def _expression(node: ast.expr, tools: Sequence[Tool]) -> Found:
    if not isinstance(node, ast.Call):
        raise UnreadableError("no call")
    name = ast.unparse(node.func).removesuffix(".call")
    given = {each.arg: _literal(each.value) for each in node.keywords if each.arg is not None}
    if len(given) < len(node.keywords):
        raise UnreadableError("arguments without a name")
    known = list(_schemas(name, tools))
    if len(node.args) > len(known):
        raise UnreadableError("arguments without a name")
    return _found(name, {**dict(zip(known, map(_literal, node.args), strict=False)), **given})


_WORDS = {"true": True, "false": False, "null": None}


def _literal(node: ast.expr) -> object:
    """Return the value of a literal; Python's and JSON's words count."""
    if isinstance(node, ast.Name) and node.id in _WORDS:
        return _WORDS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise UnreadableError("a key that is no text")
        return dict(zip(map(str, keys), map(_literal, node.values), strict=True))
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise UnreadableError("no JSON value")
    return value


def _values(text: str) -> list[str]:
    """Cut a text into its JSON values, between which there may be semicolons."""
    found, begin, scanner = [], 0, Scanner("{[")
    for at, character in enumerate(text):
        if scanner.push(character):
            found.append(text[begin : at + 1].strip(" \n\t;,"))
            begin, scanner = at + 1, Scanner("{[")
    if scanner.begun:
        raise UnreadableError("a value that does not end")
    return found


def _require_shallow(text: str) -> None:
    """Refuse what would take Python's parser to its limits."""
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > _DEEP:
            raise UnreadableError("nested too deeply")


def _schemas(name: str, tools: Sequence[Tool]) -> Mapping[str, object]:
    """Return the schemas of a tool's arguments by their names."""
    tool = next((each for each in tools if each.name == name), None)
    stated = {} if tool is None else tool.parameters.get("properties")
    return stated if isinstance(stated, Mapping) else {}


def _typed(text: str, schema: object, is_string: str) -> object:
    """Return a value that was written without quotes as its schema would have it."""
    text = text.removeprefix("\n").removesuffix("\n")
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind == "string" or is_string == "true":
        return text
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return text


def _found(name: str, given: object, id: str | None = None) -> Found:
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise UnreadableError("no name of a tool")
    if not isinstance(given, Mapping):
        raise UnreadableError("arguments that are no object")
    text = json.dumps(given, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which stays spelled out
        text = json.dumps(given, allow_nan=False)
    return Found(name, text, id)


def _refused(literal: str) -> NoReturn:
    raise UnreadableError(f"{literal} is no JSON")


_FORMS: Mapping[Form, Callable[[str, Sequence[Tool]], list[Found]]] = {
    "json": _json,
    "named": _named,
    "tagged": _tagged,
    "pairs": _pairs,
    "pythonic": _pythonic,
}
