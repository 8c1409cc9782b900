"""Amounts as people write them: 8GB, 512MiB, 7B."""

from __future__ import annotations

import re

from fathom.errors import RequestError

_AMOUNT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<order>[kmgtb]?)(?P<binary>i?)b?", re.I)
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "b": 10**9}


def amount(option: str, text: str) -> int:
    """Read '8GB', '512MiB' or '8B' (of parameters)."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise RequestError(f"{option} {text!r} is no amount; write 8GB, 512MiB, or 8B parameters")
    order = found["order"].casefold()
    size = _SIZES[order]
    if option == "--memory":
        size = 1 if order == "b" else size
        if found["binary"]:
            size = 1024 ** "bkmgt".index(order or "b")
    counted = round(float(found["number"]) * size)
    if counted <= 0:
        raise RequestError(f"{option} {text!r} must be above zero")
    return counted
