"""The one resolver: any name of a model to files on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.checkpoint import storage
from fathom.checkpoint.progress import QUIET, Progress
from fathom.checkpoint.sources import hub, hub_cache, packages
from fathom.checkpoint.sources.hub_files import CONFIGURATION
from fathom.checkpoint.sources.location import Location
from fathom.checkpoint.sources.names import (
    CatalogName,
    File,
    Folder,
    HubName,
    Name,
    parse,
    split_pin,
)
from fathom.errors import FathomError, FetchError, NotFoundError, RequestError

Catalog = Mapping[str, Sequence[str]]  # short name → where it may be found, best first


@dataclass(frozen=True, slots=True)
class Resolver:
    """How names are resolved: what is asked of the network, and who is told.

    `offline` uses only what is here; `newest` asks again although something is.
    """

    catalog: Catalog
    progress: Progress = QUIET
    allow_pickle: bool = False
    offline: bool = False
    newest: bool = False

    def resolve(self, name: str) -> Location:
        body, pin = split_pin(name)
        parsed = parse(body, self.catalog)
        if isinstance(parsed, CatalogName):
            return self._first_of(body, self.catalog[body])
        location = None if self.newest else self._here(parsed)
        if location is None:
            location = self._fetch(parsed, body)
        return _pinned(location, pin, self.progress)

    def _here(self, name: Name) -> Location | None:
        """`name` without the network, or ``None``."""
        if isinstance(name, Folder):
            return _local("folder", name.path, None)
        if isinstance(name, File):
            return _local("file", name.path, name.path.stat().st_size)
        if isinstance(name, HubName):
            return hub.find(name, self.progress, allow_pickle=self.allow_pickle)
        if isinstance(name, CatalogName):
            raise TypeError("a catalogue name is resolved by its sources")
        return packages.find(name, self.progress)

    def _fetch(self, name: Name, written: str) -> Location:
        if isinstance(name, Folder | File | CatalogName):
            ready = self._here(name)
            if ready is None:
                raise NotFoundError(f"{written} is no longer here; name a file that is.")
            return ready
        if self.offline:
            raise NotFoundError(f"{written} is not on this machine; fetch it with 'fathom pull'.")
        if isinstance(name, HubName):
            return hub.fetch(
                name, self.progress, newest=self.newest, allow_pickle=self.allow_pickle
            )
        return packages.fetch(name, self.progress, newest=self.newest)

    def _first_of(self, name: str, sources: Sequence[str]) -> Location:
        """The first source that answers; those already here are tried before any download."""
        if not sources:
            raise NotFoundError(f"{name} has no source in the catalogue; name another model.")
        reasons: dict[str, FathomError] = {}
        attempts = [replace(self, offline=True)] if not (self.offline or self.newest) else []
        for attempt in (*attempts, self):
            for source in sources:
                try:
                    return replace(attempt.resolve(source), name=name)
                except FathomError as error:
                    reasons[source] = error
        if len(reasons) == 1:
            raise next(iter(reasons.values()))
        kind = FetchError if any(isinstance(e, FetchError) for e in reasons.values()) else None
        told = "; ".join(f"{source}: {error}" for source, error in reasons.items())
        raise (kind or NotFoundError)(f"{name} could not be had from any source. {told}")


def locate(
    name: str,
    *,
    catalog: Catalog | None = None,
    progress: Progress | None = None,
    allow_pickle: bool = False,
    offline: bool = False,
    newest: bool = False,
) -> Location:
    """Resolve `name` (the grammar is in `names`) to a file or folder on this machine.

    What is here already is used without the network. Otherwise it is fetched, checked against
    the hash its publisher states, and only then visible to anybody.

    Args:
        catalog: short names and their sources in order, such as `catalog.starters.sources()`.
        progress: is told about downloads, checks and waiting.
        allow_pickle: accept a repository that offers nothing but pickles.
        offline: never use the network.
        newest: ask for the newest version even though one is here.

    Raises:
        NotFoundError: nothing has this name.
        FetchError: it exists but could not be brought here whole.
        ModelFileError: it is only offered as a pickle.
    """
    return Resolver(catalog or {}, progress or QUIET, allow_pickle, offline, newest).resolve(name)


def locate_configuration(
    name: str,
    *,
    catalog: Catalog | None = None,
    progress: Progress | None = None,
    allow_pickle: bool = False,
) -> Location:
    """Resolve `name` as `locate` does, but fetch no weights from the hub for it.

    What is on this machine is used, weights and all. Of a hub repository that is not, only its
    ``config.json`` and what lies beside it, or those of a pipeline's parts, is fetched, which is
    enough to explain and to plan.
    """
    catalog = catalog or {}
    try:
        return locate(name, catalog=catalog, allow_pickle=allow_pickle, offline=True)
    except NotFoundError:
        parsed = parse(name, catalog)
        if isinstance(parsed, HubName) and parsed.file is None:
            name = f"{name}:{CONFIGURATION}"
        return locate(name, catalog=catalog, progress=progress, allow_pickle=allow_pickle)


def _local(kind: str, path: Path, size: int | None) -> Location:
    full = path.resolve()
    return Location(
        name=str(path),
        kind="file" if kind == "file" else "folder",
        origin=str(full),
        path=full,
        found="on this machine",
        size=size,
    )


def _pinned(location: Location, pin: str | None, progress: Progress) -> Location:
    """Check the hash that the name itself demanded."""
    if pin is None:
        return location
    if not location.path.is_file():
        raise RequestError(f"{location.name}: #sha256= is for a single file; leave it out here.")
    demanded = storage.Digest("sha256", pin)
    if location.sha256 != pin and not storage.matches(location.path, demanded, progress):
        raise FetchError(
            f"{location.origin} does not have the sha256 {pin} that was demanded; "
            "it is another file: correct the name or the hash."
        )
    return replace(location, sha256=pin)


@dataclass(frozen=True, slots=True)
class Cached:
    """One thing kept on this machine; `size` counts bytes on disk."""

    origin: str
    path: Path
    size: int


def cached() -> list[Cached]:
    """Everything fetched so far: packages in our cache, models in the hub's. Largest first."""
    found = []
    for folder in sorted(packages.packages_folder().glob("*/*/")):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        found.append(Cached(f"pypi:{folder.parent.name}=={folder.name}", folder, size))
    found += [Cached(*entry) for entry in hub_cache.repositories()]
    return sorted(found, key=lambda entry: -entry.size)
