"""`fathom stop`: take a model out of a server's memory, or end the server itself."""

from __future__ import annotations

import argparse
import os
import signal
import time

from fathom.cli.output import print_json
from fathom.errors import NotFoundError, RequestError

EXAMPLES = """\
  fathom stop                              every server of mine, once its answers are done
  fathom stop smollm2:135m                 a model, from every server that holds it
"""
PATIENCE = 45.0  # seconds for a server to drain and end


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `stop`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="a model; the servers if none")


def run(args: argparse.Namespace) -> int:
    """Stop what was named and say what was stopped."""
    stopped = _servers() if args.name is None else _model(args.name)
    if args.json:
        print_json({"stopped": stopped})
        return 0
    for name in stopped:
        print(f"stopped {name}")
    if not stopped:
        print("no server runs here")
    return 0


def _model(name: str) -> list[str]:
    """Take a model out of every server that holds it."""
    from fathom.serving.asking import ask
    from fathom.serving.registry import servers

    found = []
    for server in servers():
        if ask(server, "/v1/unload", {"model": name}).get("unloaded"):
            found.append(f"{name} at {server.url}")
    if not found:
        raise NotFoundError(
            f"no server here holds {name} in memory; `fathom ps` lists what they do"
        )
    return found


def _servers() -> list[str]:
    """End every server, and wait until each has."""
    from fathom.serving.registry import servers

    found = servers()
    for server in found:
        os.kill(server.pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE
    while any(server.alive for server in found):
        if time.monotonic() > end:
            left = ", ".join(str(server.pid) for server in found if server.alive)
            raise RequestError(f"still draining: process {left}; stop it again to end it at once")
        time.sleep(0.05)
    return [server.url for server in found]
