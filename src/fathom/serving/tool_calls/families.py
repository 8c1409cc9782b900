"""How families of models spell a call of a tool, told by what their chat templates hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["json", "named", "tagged", "pairs", "pythonic"]
End: TypeAlias = Literal["value", "closing", "answer"]


@dataclass(frozen=True)
class Span:
    """One way in which calls stand in a text.

    Attributes:
        opening: what begins it. Of one that stands `alone` it is the first bracket itself.
        closing: what follows it; left out by models that end their answer instead.
        form: how what lies between is read (`forms.py`).
        end: by what it ends: the last bracket of a value, the `closing`, or the whole answer.
        alone: whether it counts only where the answer begins with it.
        begins: what JSON of one that stands alone begins with, white space aside, so that an
            answer that is merely JSON is soon known for one.
        repeats: whether more values may follow, without an `opening` of their own.
    """

    opening: str
    closing: str = ""
    form: Form = "json"
    end: End = "value"
    alone: bool = False
    begins: tuple[str, ...] = ()
    repeats: bool = False


@dataclass(frozen=True)
class Frame:
    """What stands around the arguments of a call that is forced; {name} is that of the tool."""

    before: str
    after: str
    joint: str = "\n"  # between two calls
    list_before: str = ""  # around them all
    list_after: str = ""


@dataclass(frozen=True)
class Family:
    """A manner of calling.

    Attributes:
        signs: texts that a template of the family holds, all of them.
        spans: the ways in which its models write calls.
        frame: how a call is written that is asked for by force.
        around: markers about calls that belong to no text.
        short_ids: whether its template takes ids of nine letters and digits only.
    """

    name: str
    signs: tuple[str, ...]
    spans: tuple[Span, ...]
    frame: Frame
    around: tuple[str, ...] = ()
    short_ids: bool = False

    @property
    def marks(self) -> tuple[str, ...]:
        """Every marker; those of them that are special tokens must show in the text read."""
        spans = [span for span in self.spans if not span.alone]
        found = [mark for span in spans for mark in (span.opening, span.closing) if mark]
        return tuple(dict.fromkeys((*found, *self.around, *_INNER.get(self.name, ()))))


# Markers between the parts of one call.
_INNER = {
    "deepseek": ("<｜tool▁sep｜>",),
    "kimi": ("<|tool_call_argument_begin|>",),
    "mistral": ("[ARGS]", "[CALL_ID]"),
    "gpt-oss": ("<|constrain|>", "<|message|>", "<|channel|>", "<|start|>"),
}

_HERMES = Frame('<tool_call>\n{"name": "{name}", "arguments": ', "}\n</tool_call>")
_LIST = Frame('{"name": "{name}", "arguments": ', "}", ", ")
_BEGINS = ('{"name":', '{"type":', '{"function":', '{"parameters":')
_BARE = Span("{", alone=True, begins=_BEGINS, repeats=True)
_LISTS = tuple("[" + each for each in _BEGINS)
_BARE_LIST = Span("[", form="pythonic", alone=True, begins=_LISTS)  # of either kind


def _listed(before: str, after: str) -> Frame:
    return Frame(_LIST.before, _LIST.after, _LIST.joint, f"{before}[", f"]{after}")


def _between(opening: str, closing: str, form: Form) -> tuple[Span, ...]:
    return (Span(opening, closing, form, "closing"),)


# The first of which a template holds all signs. Sources: the templates that the publishers give
# with their checkpoints; for the last of each group the manner is what they say it is.
FAMILIES: tuple[Family, ...] = (
    # Qwen3-Coder, Qwen3.5, Nemotron 3
    Family(
        "qwen-coder",
        ("<tool_call>", "<function=", "<parameter="),
        _between("<tool_call>", "</tool_call>", "tagged"),
        _HERMES,
    ),
    # GLM 4.5 and later
    Family(
        "glm",
        ("<tool_call>", "<arg_key>"),
        _between("<tool_call>", "</tool_call>", "pairs"),
        _HERMES,
    ),
    Family(
        "seed",
        ("<seed:tool_call>",),
        _between("<seed:tool_call>", "</seed:tool_call>", "tagged"),
        Frame('<seed:tool_call>\n{"name": "{name}", "arguments": ', "}\n</seed:tool_call>"),
    ),
    Family(
        "minimax",
        ("<minimax:tool_call>",),
        _between("<minimax:tool_call>", "</minimax:tool_call>", "tagged"),
        Frame('<minimax:tool_call>\n{"name": "{name}", "arguments": ', "}\n</minimax:tool_call>"),
    ),
    # DeepSeek V3.2
    Family(
        "deepseek-dsml",
        ("<｜DSML｜",),
        _between("<｜DSML｜function_calls>", "</｜DSML｜function_calls>", "tagged"),
        Frame(
            '<｜DSML｜function_calls>\n{"name": "{name}", "arguments": ',
            "}\n</｜DSML｜function_calls>",
        ),
    ),
    # DeepSeek V2.5, V3, R1, V3.1
    Family(
        "deepseek",
        ("<｜tool▁call▁begin｜>",),
        _between("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "named"),
        Frame(
            "<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>",
            "<｜tool▁call▁end｜>",
            "",
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁calls▁end｜>",
        ),
        around=("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    ),
    # Kimi K2
    Family(
        "kimi",
        ("<|tool_call_begin|>",),
        _between("<|tool_call_begin|>", "<|tool_call_end|>", "named"),
        Frame(
            "<|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
            "",
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
        ),
        around=("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    ),
    # gpt-oss, whose channels are told apart by the same markers
    Family(
        "gpt-oss",
        ("<|channel|>", "to=functions."),
        (
            Span("<|channel|>commentary to=functions.", "<|call|>", "named", "closing"),
            Span(" to=functions.", "<|call|>", "named", "closing"),
        ),
        Frame(
            "<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>",
            "<|call|>",
            "<|start|>assistant",
        ),
        around=("<|start|>assistant", "<|channel|>final<|message|>", "<|end|>", "<|return|>"),
    ),
    # Mistral: a list up to version 7 of its tokenizer, from 11 on each name before its arguments
    Family(
        "mistral",
        ("[TOOL_CALLS]", "[ARGS]"),
        (Span("[TOOL_CALLS]", form="named"),),
        Frame("[TOOL_CALLS]{name}[ARGS]", "", ""),
        short_ids=True,
    ),
    Family(
        "mistral-list",
        ("[TOOL_CALLS]",),
        (Span("[TOOL_CALLS]"),),
        _listed("[TOOL_CALLS]", ""),
        short_ids=True,
    ),
    # Granite 3, Phi 4 mini
    Family(
        "granite",
        ("<|tool_call|>",),
        (Span("<|tool_call|>", "<|/tool_call|>"),),
        _listed("<|tool_call|>", ""),
    ),
    # Command R7B, Command A
    Family(
        "command",
        ("<|START_ACTION|>",),
        (Span("<|START_ACTION|>", "<|END_ACTION|>"),),
        Frame(
            '{"tool_call_id": "0", "tool_name": "{name}", "parameters": ',
            "}",
            ", ",
            "<|START_ACTION|>[",
            "]<|END_ACTION|>",
        ),
    ),
    # Command R and R+
    Family(
        "command-r",
        ("Action:", "tool_name"),
        (Span("Action: ```json", "```"),),
        Frame(
            '{"tool_name": "{name}", "parameters": ',
            "}",
            ", ",
            "Action: ```json\n[",
            "]\n```",
        ),
    ),
    # InternLM 2.5 and 3
    Family(
        "internlm",
        ("<|action_start|>",),
        (Span("<|action_start|><|plugin|>", "<|action_end|>"),),
        Frame(
            '<|action_start|><|plugin|>\n{"name": "{name}", "parameters": ', "}<|action_end|>", ""
        ),
    ),
    # LFM 2
    Family(
        "lfm",
        ("<|tool_call_start|>",),
        _between("<|tool_call_start|>", "<|tool_call_end|>", "pythonic"),
        _listed("<|tool_call_start|>", "<|tool_call_end|>"),
    ),
    # OLMo 3
    Family(
        "olmo",
        ("<function_calls>",),
        _between("<function_calls>", "</function_calls>", "pythonic"),
        _listed("<function_calls>", "</function_calls>"),
    ),
    # Jamba, Hunyuan
    Family(
        "jamba",
        ("<tool_calls>",),
        (Span("<tool_calls>", "</tool_calls>"),),
        _listed("<tool_calls>", "</tool_calls>"),
    ),
    # Nemotron Nano 2
    Family(
        "nemotron",
        ("<TOOLCALL>",),
        (Span("<TOOLCALL>", "</TOOLCALL>"),),
        _listed("<TOOLCALL>", "</TOOLCALL>"),
    ),
    # Hermes 2 and 3, Qwen 2.5 and 3, SmolLM3, Granite 4, Falcon H1, Llama 3 Groq Tool Use
    Family(
        "hermes",
        ("<tool_call>",),
        (Span("<tool_call>", "</tool_call>", repeats=True),),
        _HERMES,
    ),
    # Llama 3.1 and later
    Family(
        "llama",
        ("<|start_header_id|>", "tools"),
        (Span("<|python_tag|>", form="pythonic", end="answer"), _BARE, _BARE_LIST),
        Frame('{"name": "{name}", "parameters": ', "}", "; "),
    ),
    # Llama 4
    Family(
        "llama-4",
        ("<|header_start|>", "tools"),
        (Span("<|python_start|>", "<|python_end|>", "pythonic", "closing"), _BARE, _BARE_LIST),
        Frame('{"name": "{name}", "parameters": ', "}", "; "),
    ),
    # Whatever else shows tools to its model and says nothing on how they are called
    Family(
        "plain",
        ("tools",),
        (_BARE, _BARE_LIST, Span("<tool_call>", "</tool_call>")),
        Frame(_LIST.before, _LIST.after, "\n"),
    ),
)


def family_of(templates: Iterable[str]) -> Family | None:
    """Return how a model calls tools, by its chat templates; None for one that knows of none."""
    text = "\n".join(templates)
    return next((one for one in FAMILIES if all(sign in text for sign in one.signs)), None)
