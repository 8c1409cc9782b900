"""Weights from the model hub, through ``huggingface_hub`` and in its own cache.

That library downloads, resumes and honours ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` and
``HF_ENDPOINT``. What it does not do is done here: the files of a model are chosen, pinned to one
commit, checked against the hash the hub states (the library checks sizes), and only then
recorded as complete. A name that was fetched once is answered from the disk, without network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fathom.checkpoint import storage
from fathom.checkpoint.progress import Progress
from fathom.checkpoint.sources import hub_cache
from fathom.checkpoint.sources.hub_errors import UnreachableError, explained
from fathom.checkpoint.sources.hub_files import Selection, complete, select
from fathom.checkpoint.sources.hub_progress import reporting_bar
from fathom.checkpoint.sources.location import Location
from fathom.checkpoint.sources.names import HubName
from fathom.checkpoint.storage import Digest
from fathom.errors import FetchError, NotFoundError


@dataclass(frozen=True, slots=True)
class Stated:
    """A file as the hub states it: `size` in bytes, and its hash where one is given."""

    size: int | None
    digest: Digest | None


def find(name: HubName, progress: Progress, *, allow_pickle: bool = False) -> Location | None:
    """What an earlier `fetch` completed, its files still as they were checked; no network."""
    commit = hub_cache.known_commit(name)
    if commit is None:
        return None
    try:
        record = json.loads(_record(name, commit, allow_pickle).read_text(encoding="utf-8"))
        selection = Selection(record["path"], tuple(record["files"]), tuple(record["notes"]))
        digests = [None if one is None else Digest(*one) for one in record["digests"]]
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged: fetch checks again
        return None
    snapshot = hub_cache.snapshot(name, commit)
    for file, digest in zip(selection.files, digests, strict=True):
        path = snapshot / file
        if not path.is_file() or (digest and not storage.matches(path, digest, progress)):
            return None
    return _location(name, commit, selection, "cache", digests)


def fetch(
    name: HubName, progress: Progress, *, newest: bool = False, allow_pickle: bool = False
) -> Location:
    """Find, or download and check, the files of `name`; `newest` asks the hub in any case.

    Raises:
        NotFoundError: no such repository, revision or file, or no weights in it.
        FetchError: gated, offline, a full disk, or bytes that differ from their hash.
        ModelFileError: only pickles are offered and they were not allowed.
    """
    with storage.alone(f"hub-{name.owner}--{name.name}", name.repository, progress):
        ready = None if newest else find(name, progress, allow_pickle=allow_pickle)
        if ready is not None:
            return ready
        try:
            commit, stated = _listing(name)
        except UnreachableError as error:
            return _left_by_others(name, error, progress, allow_pickle)
        selection = select(stated.keys(), name.file, name.repository, allow_pickle=allow_pickle)
        _require_space(name, selection, stated)
        new = _download(name, commit, selection, stated, progress)
        _record_complete(name, commit, selection, stated, allow_pickle)
    digests = [stated[file].digest for file in selection.files]
    return _location(name, commit, selection, "downloaded" if new else "cache", digests)


def _listing(name: HubName) -> tuple[str, dict[str, Stated]]:
    """The commit that `name` means today, and every file of it as the hub states it."""
    from huggingface_hub import HfApi

    with explained(name):
        info = HfApi().model_info(name.repository, revision=name.revision, files_metadata=True)
    stated = {}
    for sibling in info.siblings or ():
        digest = Digest("git", sibling.blob_id) if sibling.blob_id else None
        if sibling.lfs is not None:
            digest = Digest("sha256", sibling.lfs.sha256)
        stated[sibling.rfilename] = Stated(sibling.size, digest)
    if info.sha is None or not hub_cache.COMMIT.fullmatch(info.sha):
        raise FetchError(f"{name.repository}: the hub names no commit; check HF_ENDPOINT.")
    return info.sha, stated


def _require_space(name: HubName, selection: Selection, stated: dict[str, Stated]) -> None:
    blobs = hub_cache.repository_folder(name) / "blobs"
    missing = 0
    for file in selection.files:
        size, digest = stated[file].size, stated[file].digest
        if digest is None or not (blobs / digest.value).exists():
            missing += size or 0
    storage.require_space(blobs, missing, name.repository)


def _download(
    name: HubName,
    commit: str,
    selection: Selection,
    stated: dict[str, Stated],
    progress: Progress,
) -> bool:
    """Bring every file of the selection and check it; whether anything had to be downloaded."""
    from huggingface_hub import hf_hub_download

    new = False
    for file in selection.files:
        path = hub_cache.snapshot(name, commit) / file
        if not path.exists():
            new = True
            with explained(name), storage.writing(hub_cache.root(), file, stated[file].size):
                hf_hub_download(
                    name.repository,
                    file,
                    revision=commit,
                    tqdm_class=reporting_bar(progress, f"fetching {file}"),
                )
        digest = stated[file].digest
        if digest is not None and not storage.matches(path, digest, progress):
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise FetchError(
                f"{file} of {name.repository} does not have the hash that the hub states "
                f"({digest.algorithm} {digest.value}); it has been deleted, fetch it again."
            )
    return new


def _left_by_others(
    name: HubName, reason: FetchError, progress: Progress, allow_pickle: bool
) -> Location:
    """Without the hub: files that another program cached, if they look complete.

    The library names each blob by its hash (SHA-256 for large files, git's for small ones), so
    they can be checked even now.
    """
    commit = hub_cache.known_commit(name)
    snapshot = None if commit is None else hub_cache.snapshot(name, commit)
    if commit is None or snapshot is None or not snapshot.is_dir():
        raise reason
    names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*")]
    try:
        selection = select(
            [one for one in names if (snapshot / one).is_file()],
            name.file,
            name.repository,
            allow_pickle=allow_pickle,
        )
    except NotFoundError:
        raise reason from None
    if not complete(selection):
        raise reason
    digests = [hub_cache.blob_digest(snapshot / file) for file in selection.files]
    for file, digest in zip(selection.files, digests, strict=True):
        if digest is not None and not storage.matches(snapshot / file, digest, progress):
            raise FetchError(
                f"{file} of {name.repository} is damaged in the cache, and the hub cannot be "
                "asked for it again; connect (or unset HF_HUB_OFFLINE) and repeat."
            )
    note = "The hub was not asked: these files were cached by another program."
    selection = Selection(selection.path, selection.files, (*selection.notes, note))
    return _location(name, commit, selection, "cache", digests)


def _location(
    name: HubName,
    commit: str,
    selection: Selection,
    found: str,
    digests: Sequence[Digest | None],
) -> Location:
    snapshot = hub_cache.snapshot(name, commit)
    single = dict(zip(selection.files, digests, strict=True)).get(selection.path)
    exact = HubName(name.owner, name.name, commit, selection.path or None)
    return Location(
        name=str(name),
        kind="hub",
        origin=str(exact),
        path=snapshot / selection.path if selection.path else snapshot,
        found=found,
        revision=commit,
        size=sum((snapshot / file).stat().st_size for file in selection.files),
        sha256=single.value if single and single.algorithm == "sha256" else None,
        notes=selection.notes,
    )


def _record(name: HubName, commit: str, allow_pickle: bool) -> Path:
    # Below our cache, keyed by the folder of the hub's, so that moving HF_HOME forgets nothing.
    wanted = json.dumps([str(hub_cache.root()), name.file, allow_pickle])
    key = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    folder = storage.cache_folder() / "hub" / f"{name.owner}--{name.name}"
    return folder / commit / f"{key}.json"


def _record_complete(
    name: HubName,
    commit: str,
    selection: Selection,
    stated: dict[str, Stated],
    allow_pickle: bool,
) -> None:
    """Say that this selection is whole: our record, and the library's own note of the revision."""
    digests = [stated[file].digest for file in selection.files]
    record = {
        "path": selection.path,
        "files": selection.files,
        "notes": selection.notes,
        "digests": [None if one is None else [one.algorithm, one.value] for one in digests],
    }
    with storage.writing(storage.cache_folder(), name.repository):
        storage.write_text(_record(name, commit, allow_pickle), json.dumps(record))
        hub_cache.remember_commit(name, commit)
