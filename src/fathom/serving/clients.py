"""What to type so that a client that people have talks to this server."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

NO_KEY = "none"  # what clients are told that insist on a key where the server has none

Line = Callable[[str, str, str], str]  # address, model, key → what to type


def _curl(url: str, model: str, key: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    shown = "" if key == NO_KEY else f' -H "Authorization: Bearer {key}"'
    said = f"-H 'Content-Type: application/json'{shown} -d '{json.dumps(body)}'"
    return f"curl {url}/v1/chat/completions {said}"


def _openai(url: str, model: str, key: str) -> str:
    given = f"base_url='{url}/v1', api_key='{key}'" if key == NO_KEY else f"base_url='{url}/v1'"
    before = "" if key == NO_KEY else f'OPENAI_API_KEY="{key}" '
    asked = "messages=[{'role': 'user', 'content': 'Why is the sky blue?'}]"
    call = f"OpenAI({given}).chat.completions.create(model='{model}', {asked})"
    show = f"print({call}.choices[0].message.content)"
    return f'{before}python -c "from openai import OpenAI; {show}"'


def _claude(url: str, model: str, key: str) -> str:
    return f'ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN="{key}" claude --model {model}'


def _continue(url: str, model: str, key: str) -> str:
    said = f"name: Fathom, provider: openai, model: '{model}', apiBase: '{url}/v1'"
    return f"models: [{{{said}, apiKey: '{key}'}}]   # in ~/.continue/config.yaml"


def _open_webui(url: str, model: str, key: str) -> str:
    return f'OPENAI_API_BASE_URL={url}/v1 OPENAI_API_KEY="{key}" open-webui serve --port 3000'


CLIENTS: Mapping[str, Line] = {
    "curl": _curl,
    "OpenAI client": _openai,
    "Claude Code": _claude,
    "Continue": _continue,
    "Open WebUI": _open_webui,
}


def lines(url: str, model: str, *, key: bool) -> Mapping[str, str]:
    """Return what to type, by client; where there is a key its variable stands for it."""
    shown = "$FATHOM_API_KEY" if key else NO_KEY
    return {name: line(url, model, shown) for name, line in CLIENTS.items()}
