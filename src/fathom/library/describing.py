"""What can be said of a name from headers or a configuration: its place, card, page and plan."""

from __future__ import annotations

from typing import Unpack

from fathom.catalog.starters import sources
from fathom.checkpoint.adapter_base import locate_adapted
from fathom.checkpoint.description import Description
from fathom.checkpoint.description import describe as describe_files
from fathom.checkpoint.progress import QUIET, Progress
from fathom.checkpoint.sources.locate import Resolver, locate_configuration
from fathom.checkpoint.sources.locate import locate as locate_files
from fathom.checkpoint.sources.location import Location
from fathom.library.cards import make_card
from fathom.planning.asking import refuse_work, require_pipeline
from fathom.planning.explanation import Counted, Explanation
from fathom.planning.explanation import explain as explain_description
from fathom.planning.fit import Fit, Wanted
from fathom.planning.fit import fit as fit_description
from fathom.planning.staged_explanation import StagedExplanation, explain_stages
from fathom.planning.staged_fit import StagedFit, fit_stages
from fathom.spec.card import Card
from fathom.spec.work import Staged, Work


def locate(name: str, *, allow_pickle: bool = False, progress: Progress | None = None) -> Location:
    """Return where a model lies on this machine, fetching it first if it is not here.

    Raises:
        NotFoundError: nothing has this name.
        FetchError: it exists and could not be brought here whole.
    """
    return locate_files(name, catalog=sources(), progress=progress, allow_pickle=allow_pickle)


def describe(name: str, *, allow_pickle: bool = False, progress: Progress | None = None) -> Card:
    """Return the card of a model, from its headers and configuration; torch is not loaded.

    Raises:
        NotFoundError, FetchError: as `locate`.
        ModelFileError, ConfigError, UnknownArchitectureError: for files that cannot be understood.
    """
    resolver = Resolver(sources(), progress or QUIET, allow_pickle)
    location, adapter = locate_adapted(name, None, resolver)
    return make_card(location, describe_files(location.path, allow_pickle=allow_pickle), adapter)


def explain(
    name: str,
    *,
    allow_pickle: bool = False,
    progress: Progress | None = None,
    work: Work | None = None,
    **counted: Unpack[Counted],
) -> Explanation | StagedExplanation:
    """Return the page about a model: parts, costs of a token or stage; no weights are fetched.

    Options: dtype, context and names, as `planning.explanation.explain` says; `work` of a model
    that works in stages, as `planning.staged_explanation.explain_stages` says.

    Raises:
        RequestError: for an unknown type, a context beyond the model's own, or work that it does
            not do.
        NotFoundError, FetchError, ModelFileError, ConfigError, UnknownArchitectureError: as
            `describe`.
    """
    location, description = _configured(name, allow_pickle, progress)
    spec = description.spec
    if isinstance(spec, Staged):
        return explain_stages(description, spec, name=location.name, work=work, **counted)
    refuse_work(spec, work)
    return explain_description(description, name=location.name, **counted)


def fit(
    name: str,
    *,
    allow_pickle: bool = False,
    progress: Progress | None = None,
    work: Work | None = None,
    resting: bool = False,
    **wanted: Unpack[Wanted],
) -> Fit | StagedFit:
    """Return whether a model fits on a machine, term by term; no weights are fetched.

    Options: on, context, batch, dtype, quant and train, as `planning.fit.fit` says; `work` of a
    model that works in stages and `resting` of a pipeline, as `planning.staged_fit.fit_stages`
    says.

    Raises:
        NotFoundError: for unknown hardware, or as `describe`.
        RequestError: for numbers out of range, or an unknown type or encoding.
        FetchError, ModelFileError, ConfigError, UnknownArchitectureError: as `describe`.
    """
    location, description = _configured(name, allow_pickle, progress)
    spec = description.spec
    if isinstance(spec, Staged):
        named = location.name
        return fit_stages(description, spec, name=named, work=work, resting=resting, **wanted)
    refuse_work(spec, work)
    if resting:
        require_pipeline(spec)
    return fit_description(description, name=location.name, **wanted)


def _configured(
    name: str, allow_pickle: bool, progress: Progress | None
) -> tuple[Location, Description]:
    """Return where a configuration lies, fetched without any weights, and what it describes."""
    location = locate_configuration(
        name, catalog=sources(), progress=progress, allow_pickle=allow_pickle
    )
    return location, describe_files(location.path, allow_pickle=allow_pickle)
