"""What goes wrong, as each shape words it: one table of statuses, and an envelope per shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fathom import errors

# Status of each error; that of the nearest base counts.
STATUSES: Mapping[type[errors.FathomError], int] = {
    errors.RequestError: 400,
    errors.ContextLengthError: 400,
    errors.UnsupportedTaskError: 400,
    errors.DoesNotFitError: 400,  # nor will it later: a status of the 5xx would be tried again
    errors.TokenizerError: 400,
    errors.PictureError: 400,
    errors.SoundError: 400,
    errors.NotFoundError: 404,
    errors.BusyError: 429,
    errors.AnswerLostError: 503,
    errors.DeadlineError: 504,
    errors.FathomError: 500,
}

# What OpenAI and Anthropic call errors of a status.
KINDS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    403: ("permission_error", "permission_error"),
    404: ("not_found_error", "not_found_error"),
    405: ("invalid_request_error", "invalid_request_error"),
    408: ("timeout_error", "timeout_error"),
    413: ("request_too_large", "request_too_large"),
    415: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_error"),
    431: ("request_too_large", "request_too_large"),
    500: ("server_error", "api_error"),
    503: ("service_unavailable", "overloaded_error"),
    504: ("timeout_error", "timeout_error"),
}

# What OpenAI's clients look for in `code`.
CODES: Mapping[type[errors.FathomError], str] = {
    errors.ContextLengthError: "context_length_exceeded",
    errors.NotFoundError: "model_not_found",
    errors.BusyError: "rate_limit_exceeded",
}
INTERNAL = "the server met a fault of its own; it is in its log"


@dataclass(frozen=True)
class Fault:
    """What goes back where something went wrong; `retry_after` in seconds."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None

    @property
    def kinds(self) -> tuple[str, str]:
        """What OpenAI and Anthropic call it."""
        return KINDS.get(self.status) or KINDS[400 if self.status < 500 else 500]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to it."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after)))}

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Return the fault of an error; of one that is a bug no more than that there was one."""
        if isinstance(error, RequestValidationError):
            return _invalid(error.errors())
        if isinstance(error, HTTPException):
            return cls(error.status_code, str(error.detail))
        if not isinstance(error, errors.FathomError):
            return cls(500, INTERNAL)
        bases = [base for base in type(error).__mro__ if base in STATUSES]
        code = next((CODES[base] for base in bases if base in CODES), error.code)
        return cls(
            STATUSES[bases[0]],
            str(error),
            code,
            retry_after=getattr(error, "retry_after", None),
        )


Envelope: TypeAlias = Callable[[Fault], dict[str, object]]


def openai(fault: Fault) -> dict[str, object]:
    """Word a fault as OpenAI's API does."""
    said = {"message": fault.message, "type": fault.kinds[0]}
    return {"error": {**said, "param": fault.param, "code": fault.code}}


def anthropic(fault: Fault) -> dict[str, object]:
    """Word a fault as Anthropic's API does."""
    return {"type": "error", "error": {"type": fault.kinds[1], "message": fault.message}}


def ollama(fault: Fault) -> dict[str, object]:
    """Word a fault as Ollama does."""
    return {"error": fault.message}


# Envelopes by the beginning of the path, the longest first.
ENVELOPES: Sequence[tuple[str, Envelope]] = (
    ("/v1/messages", anthropic),
    ("/api/", ollama),
    ("", openai),
)


def envelope_of(path: str) -> Envelope:
    """Return how errors are worded under a path."""
    return next(envelope for begin, envelope in ENVELOPES if path.startswith(begin))


def refusal(path: str, fault: Fault) -> JSONResponse:
    """Return the response to a request that is refused, in the words of its path's shape."""
    body = envelope_of(path)(fault)
    return JSONResponse(body, status_code=fault.status, headers=fault.headers)


def _invalid(found: Sequence[Mapping[str, object]]) -> Fault:
    """Return the fault of fields that are not as they must be; the first one is named."""
    first = found[0]
    place = first.get("loc")
    parts = [str(part) for part in place if part != "body"] if isinstance(place, tuple) else []
    param = ".".join(part for part in parts if "[" not in part) or None
    said = str(first.get("msg", "it is not as it must be")).removeprefix("Value error, ")
    message = f"{param}: {said}" if param else said
    return Fault(400, message[:400], "invalid_value", param[:200] if param else None)
