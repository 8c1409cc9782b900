"""The child that renders chat templates: ``python -m fathom.inputs.worker SECONDS``."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from fathom.confinement import confine, serve
from fathom.errors import TokenizerError
from fathom.inputs.chat import outside_names, render_source

MEMORY = 256 << 20  # bytes that a conversation may take; the longest published take a few


def _render(request: Mapping[str, object]) -> str:
    variables = request["variables"]
    if not isinstance(variables, dict):
        raise TokenizerError("the variables of a template must be an object")
    return render_source(str(request["source"]), variables)


def _names(request: Mapping[str, object]) -> list[str]:
    return sorted(outside_names(str(request["source"])))


def _warm() -> None:
    """Import whatever rendering and complaining import, before that becomes impossible."""
    now = "{{ strftime_now('%Y') }}{{ messages|tojson }}"
    render_source(now, {"messages": [1]})
    outside_names(now)
    for broken in ("{% if %}", "{{ nothing.at_all }}", "{{ ''.__class__() }}", "{{ 1 + 'a' }}"):
        try:
            render_source(broken, {})
        except TokenizerError:
            continue


if __name__ == "__main__":
    _warm()
    confine(MEMORY)
    serve({"render": _render, "names": _names}, float(sys.argv[1]))
