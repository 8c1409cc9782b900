"""`fathom serve`: models as endpoints that other programs know, until it is told to end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from fathom.cli.amounts import amount
from fathom.cli.output import Facts, byte_text, print_facts, print_json
from fathom.errors import RequestError

if TYPE_CHECKING:
    from fathom.serving.guarding import Door
    from fathom.serving.house import House
    from fathom.serving.limits import Limits

EXAMPLES = """\
  fathom serve                             every model that was fetched before
  fathom serve smollm2:135m minilm:l6 --memory 2GB
  FATHOM_API_KEY=… fathom serve smollm2:135m --host 0.0.0.0
  fathom serve ./model --context 32768 --keep-alive -1 --json
  fathom serve ./model --quant int8        weights packed as they are loaded
"""
PORT = 8000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `serve`."""
    add = parser.add_argument
    add("name", metavar="NAME", nargs="*", help="models to offer; all that were fetched if none")
    add("--host", default="127.0.0.1", help="address to listen at; others than this machine's need")
    add("--api-key", metavar="KEY", help="a key, better given as FATHOM_API_KEY: others see words")
    add("--port", type=int, default=PORT, help=f"by default {PORT}; 0 for any that is free")
    add(
        "--memory", metavar="SIZE", help="for all models together, such as 8GB; most of what's free"
    )
    add("--keep-alive", type=float, metavar="SECONDS", help="a model stays so long; -1 for ever")
    add("--context", type=int, metavar="TOKENS", help="prompt and answer together, of every model")
    add("--quant", help="pack weights as they are loaded, of every model: int8 or int4")
    add("--together", type=int, metavar="INT", help="answers that one model writes at once")
    add(
        "--most-wait",
        type=float,
        metavar="SECONDS",
        help="refuse what would wait longer for others, with when to ask again; inf for never",
    )
    add("--allowed-host", action="append", default=[], metavar="NAME", help="a further Host name")
    add("--cors", action="append", default=[], metavar="ORIGIN", help="a web page that may ask")
    add("--log", action="store_true", help="a line per request on stderr, without its content")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal says to end; what is on its way is finished first."""
    _require_packages()
    from fathom.serving.application import application
    from fathom.serving.house import House
    from fathom.serving.registry import announced
    from fathom.serving.running import listen, run

    door = _door(args)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("fathom.serving").setLevel(logging.INFO if args.log else logging.WARNING)
    memory = None if args.memory is None else amount("--memory", args.memory)
    house = House(
        args.name, memory=memory, context=args.context, quant=args.quant, limits=_limits(args)
    )
    _require_offered(house, args.quant)
    listening = listen(args.host, args.port)
    url = f"http://{_reached(args.host)}:{listening.getsockname()[1]}"
    with announced(url):
        _tell(args, house, door, url)
        run(application(house, door), listening)
    return 0


def _require_offered(house: House, quant: str | None) -> None:
    """Refuse to begin without a model, and a named one that cannot be served as asked."""
    if house.offered():
        return
    if quant is not None:
        raise RequestError(
            f"no model here can be packed as {quant}: it is for weights in plain numbers; fetch"
            " such a one with `fathom pull`, or leave --quant out"
        )
    raise RequestError("there is no model here yet; fetch one with `fathom pull smollm2:135m`")


def _require_packages() -> None:
    """Refuse to begin without what serving needs."""
    try:
        import fastapi  # noqa: F401
        import msgpack  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f"serving needs {error.name}; install it with `pip install 'fathom-models[serve]'`"
        ) from error


def _door(args: argparse.Namespace) -> Door:
    """Return who may call.

    Raises:
        RequestError: for an address that others reach without a key that they would need.
    """
    from fathom.serving.guarding import Door, is_loopback

    key = args.api_key or os.environ.get("FATHOM_API_KEY") or None
    if key is None and not is_loopback(args.host):
        raise RequestError(
            f"others reach {args.host}: set FATHOM_API_KEY to a key that they must know,"
            " or listen at 127.0.0.1"
        )
    names = tuple(name.lower() for name in args.allowed_host)
    return Door(args.host, names, tuple(args.cors), key)


def _limits(args: argparse.Namespace) -> Limits:
    from fathom.serving.limits import USUAL

    if args.together is not None and args.together < 1:
        raise RequestError("--together must be at least 1")
    if args.most_wait is not None and not args.most_wait > 0:
        raise RequestError("--most-wait must be more than 0 seconds; inf for no bound")
    changed = {
        "keep_alive": args.keep_alive,
        "sequences": args.together,
        "most_wait": args.most_wait,
    }
    return replace(USUAL, **{name: each for name, each in changed.items() if each is not None})


def _reached(host: str) -> str:
    """Return the name under which this machine itself reaches a server."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _tell(args: argparse.Namespace, house: House, door: Door, url: str) -> None:
    """Say what is offered, and what to type so that a client uses it."""
    from fathom.serving.clients import lines

    offered = house.offered()
    chatting = [one.name for one in offered if one.card.chat_template]
    model = (chatting or [one.name for one in offered])[0]
    typed = lines(url, model, key=door.key is not None)
    if args.json:
        names = [one.name for one in offered]
        budget = house.residents.budget
        print_json({"url": url, "models": names, "memory_bytes": budget, "clients": typed})
        sys.stdout.flush()
        return
    room = byte_text(house.residents.budget)
    facts: Facts = [
        ("serving", f"{url}   (Ctrl-C ends it)"),
        *(("model", f"{one.name}, {byte_text(one.bytes_on_disk)}") for one in offered),
        ("memory", f"{room} for all together; a model is opened when it is asked for"),
        ("key", "as in FATHOM_API_KEY" if door.key is not None else "none: this machine only"),
    ]
    print_facts(facts)
    print()
    for name, line in typed.items():
        print(f"{name}\n  {line}")
    sys.stdout.flush()
