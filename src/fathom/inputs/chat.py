"""Chat templates: messages → the text that a model was trained to continue.

A template is a program by a stranger. It runs in Jinja's immutable sandbox, set up the way
transformers does so that published templates give the same bytes, with fewer globals and with
bounds, and that in a process of its own, which a loop or a flood of text cannot outlive
(`inputs/worker.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NoReturn

import jinja2
from jinja2 import ext, meta, nodes, parser
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

from fathom.confinement import Confined
from fathom.errors import TokenizerError

if TYPE_CHECKING:
    from jinja2.environment import Template

LARGEST_TEMPLATE = 1 << 20
"""Characters of a template; the largest published one has about 30,000."""

_LEAST_OUTPUT = 4 << 20  # characters that any conversation may render to, plus:
_OUTPUT_PER_INPUT = 8  # characters rendered for each character of input
_DEEPEST = 64  # nested lists and objects in a message
_REASONING = ("reasoning_content", "thinking", "reasoning")
_SECONDS = 2.0  # of processor time; published templates take a few milliseconds
_OTHER = "give a template of your own or send the prompt as plain text"
_LOOPS = re.compile(r"""\bin\s+\w+(\.content|\[['"]content['"]\])""")  # over parts of a message
_ASKS = re.compile(r"""(\.content|\[['"]content['"]\])\s+is\s""")  # whether there are any

Messages = Sequence[Mapping[str, object]]

_renderer = Confined("fathom.inputs.worker", _SECONDS, "the chat template", _OTHER)


@dataclass(frozen=True)
class ChatTemplate:
    """The source of a template and the special tokens (``bos_token`` …) that it may spell."""

    source: str
    words: Mapping[str, str] = field(default_factory=dict)
    tool_source: str | None = None

    @classmethod
    def choose(cls, templates: Mapping[str, str], words: Mapping[str, str]) -> ChatTemplate:
        """The ``default`` template, and ``tool_use``, if there is one, for when tools are given."""
        if "default" not in templates:
            named = f" but {', '.join(sorted(templates))}" if templates else ""
            raise TokenizerError(
                f"this model has no chat template{named}; send the prompt as plain text, "
                "or use an instruction-tuned variant of the model"
            )
        return cls(templates["default"], words, templates.get("tool_use"))

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that the template reads from outside, such as ``enable_thinking``."""
        found = _renderer.call("names", source=_bounded_source(self.source))
        return frozenset(found) if isinstance(found, list) else frozenset()

    @property
    def only_parts(self) -> bool:
        """Whether it takes each message as a list of parts and never as one text."""
        return bool(_LOOPS.search(self.source)) and not _ASKS.search(self.source)

    def render(
        self,
        messages: Messages,
        tools: Sequence[Mapping[str, object]] | None = None,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> str:
        """The text of a conversation.

        Args:
            messages: each with a ``role`` and mostly a ``content``; plain JSON data.
            tools: functions that the model may call, as JSON schemas.
            add_generation_prompt: end with the opening of the answer.
            variables: more names for the template, such as ``enable_thinking=False``.
        """
        source = self.tool_source if tools and self.tool_source is not None else self.source
        given = {
            "documents": None,
            **self.words,
            **variables,
            "messages": [_with_reasoning(message) for message in messages],
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
        }
        plain = _plain_object(given)
        return str(_renderer.call("render", source=_bounded_source(source), variables=plain))


def outside_names(source: str) -> frozenset[str]:
    """Return the names that a template reads and does not set. Runs in the worker."""
    with _template_errors():
        return frozenset(meta.find_undeclared_variables(_environment().parse(source)))


def render_source(source: str, variables: Mapping[str, object]) -> str:
    """Run a template on plain JSON data. Runs in the worker."""
    with _template_errors():
        template = _compile(source)
        limit = _LEAST_OUTPUT + _OUTPUT_PER_INPUT * len(json.dumps(variables))
        return "".join(_bounded(template.generate(variables), limit))


def _bounded(blocks: Iterator[str], limit: int) -> Iterator[str]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > limit:
            told = f"the chat template writes over {limit:,} characters; {_OTHER}"
            raise TokenizerError(told, code="E_LIMIT")
        yield block


@lru_cache(maxsize=64)
def _compile(source: str) -> Template:
    return _environment().from_string(source)


def _bounded_source(source: str) -> str:
    if len(source) > LARGEST_TEMPLATE:
        told = f"{len(source):,} characters, over {LARGEST_TEMPLATE:,}"
        raise TokenizerError(f"the chat template has {told}; {_OTHER}", code="E_LIMIT")
    return source


@contextmanager
def _template_errors() -> Iterator[None]:
    """Name what a template did wrong, with its line where that is known."""
    try:
        yield
    except (TokenizerError, MemoryError):  # the worker tells of the latter
        raise
    except jinja2.TemplateSyntaxError as error:
        told = f"has a syntax error in line {error.lineno}: {error.message}; {_OTHER}"
        raise TokenizerError(f"the chat template {told}", code="E_HEADER_SYNTAX") from error
    except _OutsideError as error:
        told = f"asks for {error}, and templates have no loader; {_OTHER}"
        raise TokenizerError(f"the chat template {told}", code="E_PATH") from error
    except SecurityError as error:
        told = f"the chat template is unsafe: {error}; {_OTHER}"
        raise TokenizerError(told, code="E_UNSAFE_CODE") from error
    except _RefusedError as error:
        told = f"the chat template refuses this conversation: {error}"
        raise TokenizerError(told, code="E_REQUEST") from error
    except (RecursionError, SyntaxError) as error:
        told = f"the chat template is nested too deeply; {_OTHER}"
        raise TokenizerError(told, code="E_DEPTH") from error
    except Exception as error:
        what = str(error) or type(error).__name__
        codes = {jinja2.UndefinedError: "E_HEADER_SYNTAX", OverflowError: "E_LIMIT"}
        raise TokenizerError(
            f"the chat template fails{_line_of(error)}: {what[:400]}; "
            "check the roles and contents of the messages",
            code=codes.get(type(error), "E_TOKENIZER"),
        ) from error


def _line_of(error: Exception) -> str:
    """' in line n' of the template, from the traceback that Jinja rewrites."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" in line {line}" if line else ""


class _OutsideError(Exception):
    """A template asked for another one."""


class _Nowhere(jinja2.BaseLoader):
    """There are no other templates."""

    def get_source(self, environment: jinja2.Environment, template: str) -> NoReturn:
        raise _OutsideError(f"another file, {template[:80]!r}")


class _RefusedError(jinja2.TemplateError):
    """A template called ``raise_exception``."""


def _raise_exception(message: str) -> NoReturn:
    raise _RefusedError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML; models were trained on plain JSON.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _make_dict(*pairs: Mapping[str, object], **named: object) -> dict[str, object]:
    return dict(*pairs, **named)


class _Namespace(Namespace):
    """What templates keep their counters in; names of Python's own kind stay out of it."""

    def __init__(*args: object, **named: object) -> None:  # any name may be an attribute
        self, *pairs = args
        attributes = dict(*pairs, **named)
        for name in attributes:
            _refuse_private(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: object) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"it sets {str(name)!r} on a namespace")


class _Generation(ext.Extension):
    """``{% generation %}`` marks an answer for training; here it only renders what it holds."""

    tags = {"generation"}  # noqa: RUF012 - the type that Jinja declares

    def parse(self, parser: parser.Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        loader=_Nowhere(),
        extensions=[_Generation, ext.loopcontrols],
    )
    environment.filters["tojson"] = _to_json
    offered: dict[str, Callable[..., object]] = {
        "range": safe_range,  # the sandbox's own: at most 100,000 steps
        "namespace": _Namespace,
        "dict": _make_dict,
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
    }
    environment.globals.clear()
    environment.globals.update(offered)
    return environment


def _with_reasoning(message: Mapping[str, object]) -> Mapping[str, object]:
    """A message with its reasoning under every name by which templates ask for it."""
    found = (message[name] for name in _REASONING if message.get(name) is not None)
    reasoning = next(found, None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def _plain_object(value: Mapping[str, object]) -> dict[str, object]:
    return {str(name): _plain(each, 0) for name, each in value.items()}


def _plain(value: object, depth: int) -> object:
    """The same as plain JSON types: a template must not meet objects with methods of ours."""
    if depth > _DEEPEST:
        raise TokenizerError(f"a message is nested over {_DEEPEST} levels deep; flatten it")
    if value is None or type(value) in (str, int, float, bool):
        return value
    for plain in (str, int, float):
        if isinstance(value, plain):  # an enum or another subclass
            return plain(plain.__str__(value)) if plain is str else plain(value)
    if isinstance(value, Mapping):
        return {_plain(key, depth + 1): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, depth + 1) for each in value]
    raise TokenizerError(
        f"a message holds a {type(value).__name__}, which is no JSON value; pass plain data"
    )
