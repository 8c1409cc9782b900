"""Options of sampling, which every shape spells alike, as the engine takes them."""

from __future__ import annotations

from fathom.errors import RequestError
from fathom.serving.schemas import Body

SAME = (
    *("temperature", "top_p", "min_p", "repetition_penalty"),
    *("presence_penalty", "frequency_penalty"),
)


def plain_options(body: Body) -> dict[str, object]:
    """Return the options that a body gives under the engine's own names or near them.

    Raises:
        RequestError: for a bias of what is no token id.
    """
    options = {name: getattr(body, name, None) for name in SAME}
    options["top_k"] = _top_k(getattr(body, "top_k", None))
    options["seed"] = _seed(getattr(body, "seed", None))
    options["stop"] = _stops(getattr(body, "stop", None))
    options["logit_bias"] = _biases(getattr(body, "logit_bias", None))
    return {name: value for name, value in options.items() if value is not None}


def _top_k(asked: int | None) -> int | None:
    """Return how many tokens are kept; both 0 and -1 are for all of them."""
    return 0 if asked == -1 else asked


def _seed(asked: int | None) -> int | None:
    """Return a seed as the engine has it; clients may give one below zero."""
    return None if asked is None else asked % 2**63


def _stops(asked: str | list[str] | None) -> list[str] | None:
    if not asked:
        return None
    return [asked] if isinstance(asked, str) else asked


def _biases(asked: dict[str, float] | None) -> dict[int, float] | None:
    if not asked:
        return None
    for token in asked:
        if not (token.isascii() and token.isdigit() and len(token) < 11):
            raise RequestError(f"logit_bias: {token[:40]!r} is no token id; give numbers as keys")
    return {int(token): bias for token, bias in asked.items()}
