"""The cache that ``huggingface_hub`` keeps and other programs share, read without the network.

<HF_HUB_CACHE>/models--owner--name/refs/<revision>        a commit
                                  /snapshots/<commit>/…   links to
                                  /blobs/<hash>           the bytes, named by their hash
"""

from __future__ import annotations

import re
from pathlib import Path

from fathom.checkpoint import storage
from fathom.checkpoint.sources.names import HubName
from fathom.checkpoint.storage import Digest

COMMIT = re.compile(r"[0-9a-f]{40}")


def root() -> Path:
    """The folder that ``HF_HOME`` or ``HF_HUB_CACHE`` says."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(name: HubName) -> Path:
    return root() / f"models--{name.owner}--{name.name}"


def snapshot(name: HubName, commit: str) -> Path:
    return repository_folder(name) / "snapshots" / commit


def known_commit(name: HubName) -> str | None:
    """The commit that the revision meant when it was last fetched."""
    revision = name.revision or "main"
    if COMMIT.fullmatch(revision):
        return revision
    try:
        commit = (repository_folder(name) / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):  # never fetched, or no reference at all
        return None
    return commit if COMMIT.fullmatch(commit) else None


def remember_commit(name: HubName, commit: str) -> None:
    """Note what the revision means, where the library itself looks when it is offline."""
    revision = name.revision or "main"
    if not COMMIT.fullmatch(revision):
        storage.write_text(repository_folder(name) / "refs" / revision, commit)


def blob_digest(path: Path) -> Digest | None:
    """The hash in a blob's name: SHA-256 for large files, git's for small ones."""
    value = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", value):
        return Digest("sha256", value)
    return Digest("git", value) if COMMIT.fullmatch(value) else None


def repositories() -> list[tuple[str, Path, int]]:
    """Every model in the cache: origin, folder, bytes on disk."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        scan = scan_cache_dir(root())
    except CacheNotFound:
        return []
    return [
        (f"hub:{repository.repo_id}", Path(repository.repo_path), repository.size_on_disk)
        for repository in scan.repos
        if repository.repo_type == "model"
    ]
