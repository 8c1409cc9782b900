"""From a name, or two, to the files of a model and of the adapter that goes on it."""

from __future__ import annotations

from dataclasses import replace

from fathom.checkpoint.adapters import Adapter, read_adapter, stands_alone
from fathom.checkpoint.sources.locate import Resolver
from fathom.checkpoint.sources.location import Location
from fathom.errors import NotFoundError, RequestError


def locate_adapted(
    name: str, adapter: str | None, resolver: Resolver
) -> tuple[Location, Adapter | None]:
    """Return where a model lies, and the adapter that goes on it, if one does.

    An adapter that is opened by its own name says what its base is. That is a stranger's word:
    it leads to what is on this machine already, never to the network.

    Raises:
        NotFoundError: nothing has one of the names, or the base is not here.
        RequestError: `name` is an adapter and there is another one.
        FetchError, ModelFileError, ConfigError, TensorMismatchError: as `locate` and
            `read_adapter`.
    """
    location = resolver.resolve(name)
    alone = stands_alone(location.path)
    if adapter is None:
        if not alone:
            return location, None
        found = read_adapter(location.path, allow_pickle=resolver.allow_pickle)
        return _base(name, found, resolver), found
    if alone:
        raise RequestError(f"{name} is an adapter and no model; name the base, then the adapter")
    path = resolver.resolve(adapter).path
    folder = path if path.is_dir() else path.parent
    return location, read_adapter(folder, allow_pickle=resolver.allow_pickle)


def _base(name: str, adapter: Adapter, resolver: Resolver) -> Location:
    """Return where the base of an adapter lies, under the name of the adapter."""
    remedy = f"open its base yourself, with adapter={name!r}"
    if adapter.base is None:
        raise NotFoundError(f"the adapter {name} does not say what its base is; {remedy}")
    base = repr(adapter.base[:200])
    try:
        location = replace(resolver, offline=True).resolve(adapter.base)
    except NotFoundError:
        raise NotFoundError(
            f"the adapter {name} names the base {base}, which is not on this machine; fetch it"
            f" with 'fathom pull' if you trust that, or {remedy}"
        ) from None
    if stands_alone(location.path):
        raise NotFoundError(f"the base {base} of {name} is an adapter itself; {remedy}")
    return replace(location, name=name)
