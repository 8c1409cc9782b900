"""What every shape asks of the server and what comes back. No HTTP and no JSON here.

A shape (`shapes/`) turns a client's body into one of the asks below and the events of its answer
into the client's words. The service (`house.py`) opens models, admits asks by the bytes that were
predicted, and runs them. Neither knows of the other more than this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from fathom.generation.results import Measured, TokenLogprob, Usage
from fathom.planning.predict import Forecast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fathom.spec.card import Card

ToolChoice: TypeAlias = Literal["auto", "none", "required"]
EndReason: TypeAlias = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Tool:
    """A function that a model may call; `parameters` is a JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """A call that a model wrote; `arguments` is the JSON text of an object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Ask:
    """What all asks to write have.

    Attributes:
        model: a name that the server offers.
        options: those of `TextModel.generate`: sampling, stop, logprobs, max_tokens, grammar.
        count: how many answers are wanted, told apart by their index.
        keep_alive: seconds that the model stays in memory afterwards; None for the server's
            own, negative for ever.
    """

    model: str
    options: Mapping[str, object] = field(default_factory=dict)
    count: int = 1
    keep_alive: float | None = None


@dataclass(frozen=True)
class ChatAsk(Ask):
    """A conversation to answer; messages as `TextModel.chat` takes them, oldest first.

    `choice` is a word, or the one `Tool` that must be called.
    """

    messages: Sequence[Mapping[str, object]] = ()
    tools: Sequence[Tool] = ()
    choice: ToolChoice | Tool = "auto"
    parallel: bool = True


@dataclass(frozen=True)
class TextAsk(Ask):
    """A text to continue, or its token ids; with a `suffix`, what lies between is written.

    With `echo` the logprobs of the prompt's own tokens are wanted too (`Echoed`).
    """

    prompt: str | Sequence[int] = ""
    suffix: str | None = None
    echo: bool = False


@dataclass(frozen=True)
class Echoed:
    """The prompt as it was read. `logprobs` has one entry per token, None for the first."""

    index: int
    text: str
    tokens: Sequence[int]
    logprobs: Sequence[TokenLogprob | None] | None = None


@dataclass(frozen=True)
class Written:
    """More of one answer: text, or what was thought before it, with the new tokens' logprobs."""

    index: int
    text: str = ""
    reasoning: str = ""
    logprobs: Sequence[TokenLogprob] = ()


@dataclass(frozen=True)
class Called:
    """A call of a tool, whole, once its last character is written."""

    index: int
    call: ToolCall


@dataclass(frozen=True)
class Ended:
    """The last event of one answer."""

    index: int
    reason: EndReason
    usage: Usage
    measured: Measured
    predicted: Forecast
    stop: str | None = None  # the stop text that ended it, where one did
    notes: Sequence[str] = ()  # what went otherwise than it should, a line each


Event: TypeAlias = Echoed | Written | Called | Ended


class Answer(Protocol):
    """Events as they come, of all indexes in turn; each index ends by an `Ended`.

    Attributes:
        model: the name that was opened.
        warnings: what was asked for and is not done, a line each.
    """

    @property
    def model(self) -> str: ...

    @property
    def warnings(self) -> Sequence[str]: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def close(self) -> None:
        """Cancel what is not done and give its memory back. Harmless after the end."""
        ...


@dataclass(frozen=True)
class Vectors:
    """One vector per text, (texts, width) float32, and the tokens that were read for them."""

    vectors: NDArray[np.float32]
    tokens: int


@dataclass(frozen=True)
class Scored:
    """A document's place among those given and its score, best first."""

    index: int
    score: float


@dataclass(frozen=True)
class Ranking:
    """Documents by their relevance, and the tokens that were read for it."""

    documents: Sequence[Scored]
    tokens: int


@dataclass(frozen=True)
class Offered:
    """A model that may be asked for, loaded or not. Times are in seconds since 1970."""

    name: str
    card: Card
    bytes_on_disk: int
    modified: float


@dataclass(frozen=True)
class Resident:
    """A model in memory. `expires` is None for one that stays."""

    name: str
    card: Card
    memory_bytes: int
    context: int
    expires: float | None
    running: int
    waiting: int


class Service(Protocol):
    """What the server can do. All raise `fathom.errors`, at once and before any work:

    `NotFoundError` for a model that it does not offer, `UnsupportedTaskError` for a task that the
    model's class cannot do, `DoesNotFitError` for what can never fit the budget, `BusyError` for
    what cannot be taken now (with the seconds after which to try again), `ContextLengthError`
    for a prompt that is too long (nothing is ever cut in silence), `RequestError` for the rest.
    """

    def offered(self) -> Sequence[Offered]:
        """Return the models that may be asked for, without opening any."""
        ...

    def resident(self) -> Sequence[Resident]:
        """Return the models in memory."""
        ...

    async def chat(self, ask: ChatAsk) -> Answer:
        """Begin to answer a conversation; a refusal comes before the first event."""
        ...

    async def write(self, ask: TextAsk) -> Answer:
        """Begin to continue a text."""
        ...

    async def embed(self, model: str, texts: Sequence[str], **options: object) -> Vectors:
        """Return vectors; options are those of `TextModel.embed`."""
        ...

    async def rank(self, model: str, query: str, documents: Sequence[str]) -> Ranking:
        """Return documents by their relevance to a query."""
        ...

    async def encode(self, model: str, text: str, *, special: bool = True) -> Sequence[int]:
        """Return a text as token ids."""
        ...

    async def decode(self, model: str, tokens: Sequence[int]) -> str:
        """Return token ids as text."""
        ...

    async def count(self, ask: ChatAsk) -> int:
        """Return the tokens of a conversation as its model would read it."""
        ...

    async def unload(self, model: str) -> bool:
        """Take a model out of memory when its answers are done; False where it is not there."""
        ...
