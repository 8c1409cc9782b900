"""`fathom ps`: which servers run here, and which models they hold in memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import cast

from fathom.cli.output import byte_text, print_columns, print_json

EXAMPLES = """\
  fathom ps
  fathom ps --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: all servers of this user are listed."""


def run(args: argparse.Namespace) -> int:
    """List servers and their models."""
    from fathom.serving.asking import ask
    from fathom.serving.registry import servers

    found = [
        {"url": server.url, "pid": server.pid, **ask(server, "/v1/status")} for server in servers()
    ]
    if args.json:
        print_json({"servers": found})
        return 0
    if not found:
        print("no server runs here; `fathom serve` starts one")
        return 0
    rows = [("server", "model", "memory", "running", "waiting", "leaves in")]
    for server in found:
        models = cast("list[Mapping[str, object]]", server["models"])
        rows += [(str(server["url"]), *_cells(model)) for model in models]
        rows += [] if models else [(str(server["url"]), "none in memory", "", "", "", "")]
    print_columns(rows, right=frozenset({2, 3, 4, 5}))
    return 0


def _cells(model: Mapping[str, object]) -> tuple[str, str, str, str, str]:
    expires = cast("float | None", model["expires"])
    left = "stays" if expires is None else f"{max(0.0, expires - time.time()):.0f} s"
    memory = byte_text(cast("int", model["memory_bytes"]))
    return str(model["name"]), memory, str(model["running"]), str(model["waiting"]), left
