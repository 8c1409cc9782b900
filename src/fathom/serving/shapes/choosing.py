"""Which model is meant where a client names none."""

from __future__ import annotations

from fathom.errors import RequestError
from fathom.serving.service import Service

RANKING = "rerank"


def model_or_only(service: Service, name: str | None, task: str = "") -> str:
    """Return the model that is named, or the only one that there is.

    Raises:
        RequestError: when none is named and there are several.
    """
    if name is not None:
        return name
    models = service.offered()
    fitting = [one.name for one in models if one.card.model_class == "reranker"]
    names = fitting if task == RANKING and fitting else [one.name for one in models]
    if len(names) != 1:
        raise RequestError("say which model is meant: GET /v1/models lists them")
    return names[0]
