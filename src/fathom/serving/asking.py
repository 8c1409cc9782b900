"""Another process's server, asked by its address: what it holds, and to let go of it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import cast

from fathom.errors import FathomError, RequestError
from fathom.serving.registry import Server

SECONDS = 10.0


def ask(
    server: Server, path: str, body: Mapping[str, object] | None = None
) -> Mapping[str, object]:
    """Return what a server of this machine answers.

    Raises:
        RequestError: for what it refuses, in its own words.
        FathomError: when it does not answer.
    """
    headers = {"Content-Type": "application/json"}
    key = os.environ.get("FATHOM_API_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data=data, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as response:
            return cast("Mapping[str, object]", json.load(response))
    except urllib.error.HTTPError as error:
        raise RequestError(_words(error)) from error
    except OSError as error:
        raise FathomError(
            f"{server.url} does not answer ({error}); end it: {server.pid}"
        ) from error


def _words(error: urllib.error.HTTPError) -> str:
    """Return a refusal's own line."""
    try:
        said = json.load(error)["error"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code}; see its log"
    return str(said["message"] if isinstance(said, dict) else said)
