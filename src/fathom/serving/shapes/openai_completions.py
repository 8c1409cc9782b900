"""OpenAI's older ``/v1/completions``: prompts as texts or token ids, echoed with their logprobs.

https://platform.openai.com/docs/api-reference/completions. Evaluation harnesses score texts by it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

from fastapi import APIRouter
from starlette.responses import Response

from fathom.errors import RequestError
from fathom.generation.results import TokenLogprob
from fathom.serving.answers import Whole, begun, gathered, noted
from fathom.serving.bounds import number, size
from fathom.serving.faults import Fault, openai
from fathom.serving.generating import plain_options
from fathom.serving.schemas import (
    Bias,
    Body,
    Count,
    Frequency,
    Logprobs,
    MinP,
    Name,
    Presence,
    Repetition,
    Seed,
    Stops,
    Temperature,
    Text,
    Tokens,
    TopK,
    TopP,
)
from fathom.serving.service import Answer, Echoed, Ended, Event, Service, TextAsk, Written
from fathom.serving.shapes.openai_chat import StreamOptions
from fathom.serving.shapes.openai_common import (
    FINGERPRINT,
    Format,
    figures,
    finite,
    format_options,
    new_id,
    total_usage,
    usage_body,
)
from fathom.serving.shapes.routing import answered, shape_router
from fathom.serving.streams import DONE, AnswerStream, Chunks, event

USUAL_TOKENS = 16  # as the API has it where nobody says


class CompletionBody(Body):
    """Texts to continue."""

    harmless: ClassVar[frozenset[str]] = frozenset({"user"})
    model: Name
    prompt: (
        Text
        | Tokens
        | Annotated[list[Text], size("prompts")]
        | Annotated[list[Tokens], size("prompts")]
    )
    suffix: Text | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    best_of: Count | None = None
    echo: bool | None = None
    logprobs: Logprobs | bool | None = None
    max_tokens: Annotated[int, number("max_tokens_or_none")] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    presence_penalty: Presence | None = None
    frequency_penalty: Frequency | None = None
    repetition_penalty: Repetition | None = None
    logit_bias: Bias | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    response_format: Format | None = None


def router(service: Service) -> APIRouter:
    """Return the routes of completions."""
    routes = shape_router("openai")

    @routes.post("/v1/completions", summary="Continue texts")
    async def complete(body: CompletionBody) -> Response:
        asks = asked(body)
        answer = await begun([service.write(ask) for ask in asks], asks[0].count)
        if body.stream:
            warnings = [*body.warnings(), *answer.warnings]
            chunks = _chunks(answer, body, warnings)
            return AnswerStream(answer, chunks, _failed, warnings=warnings)
        found = await gathered(answer, len(asks) * asks[0].count)
        kept = _best(found, asks[0].count, body.n or 1)
        warnings = [*body.warnings(), *noted(answer, found)]
        return answered(_completion(answer, body, found, kept), warnings)

    return routes


def asked(body: CompletionBody) -> list[TextAsk]:
    """Return what a body asks of the service, one ask for each prompt.

    Raises:
        RequestError: for fields that do not go together.
    """
    count, best = body.n or 1, body.best_of or body.n or 1
    if best < count:
        raise RequestError(f"best_of {best} is less than n {count}; ask for at least as many")
    if best > count and body.stream:
        raise RequestError("best_of cannot be streamed: the best is known when all are written")
    options = plain_options(body) | format_options(body.response_format)
    most = USUAL_TOKENS if body.max_tokens is None else body.max_tokens
    options["max_tokens"] = max(1, most)
    options["logprobs"] = 0 if best > count else None
    if body.logprobs is not None and body.logprobs is not False:
        options["logprobs"] = int(body.logprobs)
    options = {name: value for name, value in options.items() if value is not None}
    return [
        TextAsk(
            model=body.model,
            options=options,
            count=best,
            prompt=prompt,
            suffix=body.suffix,
            echo=bool(body.echo),
        )
        for prompt in _prompts(body.prompt)
    ]


def _prompts(prompt: object) -> list[str | list[int]]:
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and isinstance(prompt[0], int):
        return [prompt]
    return prompt  # type: ignore[return-value]  # by the schema, a list of either


def _best(found: Sequence[Whole], of: int, count: int) -> list[Whole]:
    """Return of each prompt's answers those that the model holds likeliest, token by token."""
    if of == count:
        return list(found)

    def likelihood(whole: Whole) -> float:
        values = [one.logprob for one in whole.logprobs]
        return sum(values) / len(values) if values else -math.inf

    kept: list[Whole] = []
    for begin in range(0, len(found), of):
        kept += sorted(found[begin : begin + of], key=likelihood, reverse=True)[:count]
    return kept


def _completion(
    answer: Answer, body: CompletionBody, found: Sequence[Whole], kept: Sequence[Whole]
) -> dict[str, object]:
    ends = [whole.end for whole in found]
    usage = total_usage(ends, len(_prompts(body.prompt)))
    choices = [_choice(at, whole, body) for at, whole in enumerate(kept)]
    said = usage_body(usage)
    if body.max_tokens == 0:
        said |= {"completion_tokens": 0, "total_tokens": usage.prompt_tokens}
    return {**_head(answer), "choices": choices, "usage": said, "fathom": figures(ends[0])}


def _head(answer: Answer) -> dict[str, object]:
    return {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": answer.model,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(index: int, whole: Whole, body: CompletionBody) -> dict[str, object]:
    text = "" if body.max_tokens == 0 else whole.text
    tokens: list[TokenLogprob | None] = [] if body.max_tokens == 0 else list(whole.logprobs)
    spelled = [one.text for one in tokens if one is not None]
    if whole.echoed is not None:
        text = whole.echoed.text + text
        tokens = [*(whole.echoed.logprobs or ()), *tokens]
        spelled = [*_pieces(whole.echoed), *spelled] if whole.echoed.logprobs else spelled
    return {
        "index": index,
        "text": text,
        "logprobs": _logprobs(tokens, spelled, 0) if _wants(body) else None,
        "finish_reason": _reason(whole.end),
        **({"reasoning_content": whole.reasoning} if whole.reasoning else {}),
    }


def _wants(body: CompletionBody) -> bool:
    return body.logprobs is not None and body.logprobs is not False


def _reason(end: Ended) -> str:
    return "length" if end.reason == "length" else "stop"


def _pieces(echoed: Echoed) -> list[str]:
    """Return the tokens of a prompt as texts; the first, which has no entry, is what remains."""
    rest = [one.text for one in (echoed.logprobs or ())[1:] if one is not None]
    return [echoed.text[: max(0, len(echoed.text) - len("".join(rest)))], *rest]


def _logprobs(
    tokens: Sequence[TokenLogprob | None], spelled: Sequence[str], begin: int
) -> dict[str, object]:
    """Return tokens as this API lists them: four lists side by side."""
    offsets = [begin]
    for text in spelled:
        offsets.append(offsets[-1] + len(text))
    return {
        "tokens": list(spelled),
        "token_logprobs": [None if one is None else finite(one.logprob) for one in tokens],
        "top_logprobs": [None if one is None else _top(one) for one in tokens],
        "text_offset": offsets[:-1],
    }


def _top(one: TokenLogprob) -> dict[str, float]:
    """Return the likeliest tokens and the one chosen; of two that look alike the likelier."""
    found = {each.text: finite(each.logprob) for each in reversed((*one.top, one))}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


async def _chunks(answer: Answer, body: CompletionBody, warnings: Sequence[str]) -> Chunks:
    head = _head(answer) | ({"warnings": list(warnings)} if warnings else {})
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    places = [0] * (len(_prompts(body.prompt)) * (body.n or 1))
    ends: list[Ended] = []
    async for one in answer:
        ends += [one] if isinstance(one, Ended) else []
        said = _said(one, body, places)
        if said is None:
            continue
        text, logprobs = said
        reason = _reason(one) if isinstance(one, Ended) else None
        choice = {"index": one.index, "text": text, "logprobs": logprobs, "finish_reason": reason}
        yield event({**head, "choices": [choice], **({"usage": None} if with_usage else {})})
        head.pop("warnings", None)
    if with_usage:
        usage = usage_body(total_usage(ends, len(_prompts(body.prompt))))
        yield event({**head, "choices": [], "usage": usage, "fathom": figures(ends[0])})
    yield DONE


def _said(
    one: Event, body: CompletionBody, places: list[int]
) -> tuple[str, dict[str, object] | None] | None:
    """Return text and logprobs of an event, None for one of which nothing is to be said."""
    if isinstance(one, Echoed):
        logprobs = one.logprobs or ()
        found = _logprobs(logprobs, _pieces(one), 0) if _wants(body) and logprobs else None
        places[one.index] += len(one.text)
        return one.text, found
    if isinstance(one, Written) and body.max_tokens != 0:
        tokens = list(one.logprobs)
        spelled = [each.text for each in tokens]
        found = _logprobs(tokens, spelled, places[one.index]) if tokens and _wants(body) else None
        places[one.index] += sum(map(len, spelled))
        return one.text, found
    return ("", None) if isinstance(one, Ended) else None


def _failed(fault: Fault) -> bytes:
    return event(openai(fault))
