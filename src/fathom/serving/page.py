"""The first page: chat with a model, does one fit, what kinds there are. Rendered here, as HTML."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

import jinja2
from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from fathom.catalog.classes import classes
from fathom.catalog.hardware import hardware
from fathom.errors import FathomError
from fathom.planning.fit import Fit
from fathom.planning.staged_fit import StagedFit

if TYPE_CHECKING:
    from fathom.serving.house import House
    from fathom.serving.service import Offered

# A browser may run our own script and nothing else, and fetch from here and nowhere else.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
ASSETS: Mapping[str, str] = {
    "style.css": "text/css; charset=utf-8",
    "chat.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
QUESTIONS = ("Why is the sky blue?", "Write a haiku about the sea.", "What is a fathom?")
SHOWN = ("inputs", "outputs", "size", "speed", "best_for")  # of a class
Count = Annotated[str, Query(max_length=12, pattern="^[0-9]*$")]


def router(house: House) -> APIRouter:
    """Return the routes of the page."""
    routes = APIRouter(tags=["page"], include_in_schema=False)

    @routes.get("/")
    async def chat(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse("Ollama is running")  # what its clients look for
        return _page("chat.html", "/", models=await _models(house, chat=True), questions=QUESTIONS)

    @routes.get("/classes")
    def kinds() -> Response:
        return _page("classes.html", "/classes", classes=_classes())

    @routes.get("/fit")
    async def fit(
        model: Annotated[str, Query(max_length=256)] = "",
        on: Annotated[str, Query(max_length=64)] = "this",
        context: Count = "",
        batch: Count = "1",
    ) -> Response:
        asked = {"model": model, "on": on, "context": context, "batch": batch or "1"}
        said: dict[str, object] = {"asked": asked, "machines": _machines()}
        if model:
            try:
                wanted = {"context": int(context)} if context else {}
                found = await house.fit(model, on=on or "this", batch=int(batch or 1), **wanted)
                said["found"] = _fit(found)
            except FathomError as error:
                said["refused"] = str(error)
        return _page("fit.html", "/fit", models=await _models(house), **said)

    @routes.get("/page/{name}")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        return Response(_asset(name), media_type=ASSETS[name])

    return routes


@cache
def _environment() -> jinja2.Environment:
    """Return our own templates, in which whatever is filled in is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("fathom.serving", "pages"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> bytes:
    return (files("fathom.serving") / "pages" / name).read_bytes()


def _page(name: str, here: str, **said: object) -> Response:
    text = _environment().get_template(name).render(here=here, **said)
    return HTMLResponse(text, headers={"content-security-policy": POLICY})


async def _models(house: House, *, chat: bool = False) -> list[Mapping[str, str]]:
    """Return the offered models, those that chat alone if asked for."""
    offered = await asyncio.to_thread(house.offered)
    chosen = [one for one in offered if one.card.chat_template or not chat]
    return [{"name": one.name, "facts": _facts(one)} for one in chosen]


def _facts(one: Offered) -> str:
    parameters = one.card.parameters or 0
    size = f"{parameters / 1e9:.3g} B" if parameters >= 1e9 else f"{parameters / 1e6:.3g} M"
    return f"{size} parameters, {_bytes(one.bytes_on_disk)}"


def _classes() -> list[Mapping[str, object]]:
    """Return every class of models with what it is for, and the command that runs one."""
    found: list[Mapping[str, object]] = []
    for one in classes().values():
        facts = [(name.replace("_", " "), one.text(name)) for name in SHOWN if one.text(name)]
        verb = one.text("verb") if one.runs else ""
        found.append(
            {
                "name": one.name,
                "title": one.title,
                "focus": one.text("focus"),
                "facts": facts,
                "command": verb,
            }
        )
    return found


@cache
def _machines() -> Sequence[str]:
    return ("this", *hardware())


def _fit(found: Fit | StagedFit) -> Mapping[str, object]:
    """Return a fit as the page shows it."""
    prediction = found.prediction
    total = prediction.total_bytes
    terms = [(name, count) for name, count in prediction.terms.items() if count]
    text = found if isinstance(found, Fit) else None
    return {
        "fits": found.fits,
        "verdict": found.verdict,
        "machine": found.machine,
        "room": _bytes(found.memory_bytes),
        "counted": "the work that is usual" if text is None else _counted(text),
        "terms": [
            {
                "name": name,
                "bytes": f"{count:,}",
                "share": f"{100 * count / total:.1f}",
                "width": max(1, round(100 * count / total)),
            }
            for name, count in terms
        ],
        "total": f"{total:,}",
        "speed": [] if text is None else _speed(text),
        "remedies": [
            f"{one.change}: {_bytes(one.total_bytes)}, {one.cost}" for one in found.remedies
        ],
        "assumptions": found.assumptions,
    }


def _counted(found: Fit) -> str:
    asked = found.prediction
    return (
        f"{asked.context:,} tokens × {asked.batch:,} at once, weights {found.weights},"
        f" computed in {asked.dtype}"
    )


def _speed(found: Fit) -> list[tuple[str, str]]:
    """Return how fast it will be, where that is known."""
    asked = found.prediction
    if asked.prefill_tokens_per_second is None:
        return [("speed", "not predicted: not measured yet")]
    said = [("reads", f"{asked.prefill_tokens_per_second:,.0f} tokens/s")]
    if asked.decode_tokens_per_second is not None:
        said.append(("writes", f"{asked.decode_tokens_per_second:,.1f} tokens/s"))
        said.append(("limited by", asked.limit or "nothing known"))
    return said


def _bytes(count: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
