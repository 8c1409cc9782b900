"""Tools of one ask: how its model is shown them, made to call one, and read when it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fathom.errors import RequestError
from fathom.serving.service import ChatAsk, Tool
from fathom.serving.tool_calls import CallReader, Family, family_of, forced, specials

if TYPE_CHECKING:
    from fathom.inputs.tokenizer import Tokenizer


@dataclass(frozen=True)
class Calling:
    """What an ask's tools come to.

    Attributes:
        family: how the model calls; None where no tool is offered.
        tools: those that may be called.
        options: special tokens to be spelled, and a grammar where a call must be written.
    """

    family: Family | None = None
    tools: Sequence[Tool] = ()
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, tokenizer: Tokenizer, ask: ChatAsk) -> Calling:
        """Return how the tools of an ask are called.

        Raises:
            RequestError: for a model whose template knows of no tools, or a call that must be
                written and cannot.
        """
        if not ask.tools or ask.choice == "none":
            return cls()
        family = family_of(tokenizer.templates.values())
        if family is None:
            raise RequestError(
                "this model was not taught to call tools: its chat template knows of none;"
                " leave out `tools`, or take another model"
            )
        known = specials(family, tokenizer)
        spelled = {"spelled": tuple(known.values())}
        if ask.choice == "auto":
            return cls(family, ask.tools, spelled)
        tools = (ask.choice,) if isinstance(ask.choice, Tool) else tuple(ask.tools)
        must = forced(family, tools, parallel=ask.parallel, specials=known)
        return cls(family, tuple(ask.tools), {"grammar": must, **spelled})

    @property
    def shown(self) -> Sequence[Mapping[str, object]] | None:
        """The tools as templates are shown them."""
        if self.family is None:
            return None
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in self.tools
        ]

    def reader(self) -> CallReader | None:
        """Return what tells calls from text in one answer."""
        return None if self.family is None else CallReader(self.family, self.tools)
