"""Turns the hub library's many exceptions into ours: one line that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fathom.checkpoint.progress import log
from fathom.checkpoint.sources.names import HubName
from fathom.errors import FathomError, FetchError, NotFoundError


class UnreachableError(FetchError):
    """The hub did not answer, or may not be asked: what is on the disk may still do."""


@contextmanager
def explained(name: HubName) -> Iterator[None]:
    """Raise what goes wrong with the hub inside the block as `NotFoundError` or `FetchError`."""
    from huggingface_hub import errors

    # The base of the HTTP client's errors; which client that is depends on the library's version.
    transport_error: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
    try:
        yield
    except FathomError:
        raise
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise _refused(name, error) from error
    except (OSError, ValueError, transport_error) as error:
        raise _unreachable(name, error) from error


def _refused(name: HubName, error: Exception) -> FathomError:
    """What an answer of the hub means; the most specific kinds come first."""
    from huggingface_hub import errors

    repository = name.repository
    if isinstance(error, errors.GatedRepoError):
        return FetchError(
            f"{repository} is gated: accept its terms on its page at the hub, then set HF_TOKEN "
            "to a token of that account."
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return NotFoundError(
            f"the hub has no model {repository}, or it is private: check the spelling, or set "
            "HF_TOKEN to a token that may read it."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return NotFoundError(
            f"{repository} has no revision {name.revision}; name a branch, tag or commit, or none."
        )
    response = getattr(error, "response", None)
    status = 0 if response is None else response.status_code
    if status in {401, 403}:
        return FetchError(
            f"the hub refuses {repository} ({status}): set HF_TOKEN to a token that may read it."
        )
    return _unreachable(name, error)


def _unreachable(name: HubName, error: Exception) -> UnreachableError:
    from huggingface_hub import constants

    log.debug("the hub could not be asked for %s", name.repository, exc_info=error)
    if constants.is_offline_mode():
        return UnreachableError(
            f"{name.repository} is not in the hub's cache and HF_HUB_OFFLINE is set; unset it, "
            "or copy the model here and name its folder."
        )
    lines = str(error).strip().splitlines()
    return UnreachableError(
        f"{name.repository} could not be fetched from the hub "
        f"({lines[0] if lines else type(error).__name__}); check the network and HF_ENDPOINT, "
        "then repeat."
    )
