"""The folder where fetched things are kept, the four promises it makes, and how files are saved.

Nothing half-written is ever visible (written aside, flushed, renamed); two processes that want
the same thing take turns; a hash is computed once per file and remembered; a full or read-only
disk is a `FetchError` that says what is needed.

    packages/<name>/<version>/    wheels, unpacked
    hub/<owner>--<name>/…         which hub files were fetched and checked together
    verified/                     one small record per file whose hash was found right
    locks/  partial/              who is at work, and on what
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

from fathom.checkpoint.progress import QUIET, Progress, log, working
from fathom.errors import FathomError, FetchError, RequestError, WriteError

CHUNK = 1 << 22  # bytes read at a time: large enough for speed, small enough to report progress

_OTHER_CACHE = "set FATHOM_CACHE (or HF_HOME for the hub) to a folder"
_STALE = 24 * 3600  # seconds after which what a dead process left unfinished is cleared away
_PARTIAL = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def cache_folder() -> Path:
    """Fathom's own cache: ``FATHOM_CACHE``, or the platform's place for one."""
    chosen = os.environ.get("FATHOM_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("fathom")


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk of `folder`, which need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise `FetchError` where `needed` bytes do not fit on the disk of `folder`."""
    free = free_bytes(folder)
    if free < needed:
        raise _disk_full(folder, what, needed, free)


@contextmanager
def writing(folder: Path, what: str, needed: int | None = None) -> Iterator[None]:
    """Turn a full or forbidden disk inside the block into a `FetchError` with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(folder, what, needed, free_bytes(folder)) from error
        if error.errno in _FORBIDDEN:
            raise FetchError(
                f"{what}: {folder} cannot be written ({error.strerror}); make it writable "
                f"or {_OTHER_CACHE} that is."
            ) from error
        raise


def _disk_full(folder: Path, what: str, needed: int | None, free: int) -> FetchError:
    return FetchError(
        f"{_fullness(folder, what, needed, free)}; free some or {_OTHER_CACHE} on another disk."
    )


def _fullness(folder: Path, what: str, needed: int | None, free: int) -> str:
    wanted = "more bytes" if needed is None else f"{needed:,} bytes"
    return f"{what}: the disk of {folder} is full, {wanted} needed and {free:,} free"


@contextmanager
def alone(key: str, what: str, progress: Progress) -> Iterator[None]:
    """Hold the lock called `key`: other processes that want it wait, and say that they do."""
    from filelock import FileLock, Timeout

    path = cache_folder() / "locks" / f"{key}.lock"
    with writing(cache_folder(), what):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            message = f"waiting for another process that fetches {what}"
            if progress is QUIET:
                log.warning(message)
            with working(progress, None, message):
                lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def partial_folder(key: str, what: str) -> Iterator[Path]:
    """An empty folder on the cache's own disk, gone at the end. Call it while holding `key`.

    What a killed process left under the same key is removed first.
    """
    parent = cache_folder() / "partial"
    with writing(parent, what):
        parent.mkdir(parents=True, exist_ok=True)
        for stale in parent.glob(f"{key}.*"):
            shutil.rmtree(stale, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(source: Path, target: Path) -> None:
    """Make the finished folder `source` visible as `target`, in one step, after flushing it.

    A damaged `target` that is already there is moved beside `source` first, into the partial
    folder, which its owner deletes.
    """
    for folder, _, files in os.walk(source):
        for file in files:
            _flush(Path(folder) / file)
        _flush(Path(folder))
    reached("folder flushed")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(source.with_name(source.name + ".replaced"))
    source.rename(target)
    _flush(target.parent)


def write_text(path: Path, text: str) -> None:
    """Write a small file so that it is either wholly there or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(text.encode())


def reached(point: str) -> None:
    """Mark a step of saving by name. Does nothing; tests end the process here."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path` that takes its place, whole and on the disk, when all went well.

    Its mode is what the umask says, as for any file that a user makes. On an error of any kind
    what stood at `path` stays as it was.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    _sweep(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            reached("file made")
            yield stream
            reached("file written")
            stream.flush()
            os.fsync(stream.fileno())
        reached("file flushed")
        partial.chmod(0o666 & ~_umask())  # mkstemp makes files private
        partial.replace(path)
        reached("file in place")
        _flush(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(target: Path, needed: int) -> Iterator[Path]:
    """Fill a folder beside `target` that appears there, whole, when all went well.

    Args:
        needed: bytes that it will take; refused before the work where they do not fit.

    Raises:
        RequestError: something is there already.
        WriteError: the disk is full or cannot be written; then
            nothing is left behind.
    """
    try:
        if target.exists() or target.is_symlink():
            raise RequestError(f"{target} exists already; name a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        free = free_bytes(target.parent)
        if free < needed:
            raise WriteError(f"{_fullness(target.parent, str(target), needed, free)}; free some")
        _sweep(target)
        partial = Path(
            tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_PARTIAL, dir=target.parent)
        )
        try:
            partial.chmod(0o777 & ~_umask())  # mkdtemp makes folders private
            reached("folder made")
            yield partial
            reached("folder filled")
            if target.exists():
                raise WriteError(f"{target} was made by another process meanwhile; compare the two")
            publish(partial, target)
            reached("folder in place")
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise unwritten(target, error, needed) from error


def unwritten(target: Path, error: OSError, needed: int | None = None) -> FathomError:
    """Say why `target` could not be written and what to do about it."""
    if error.errno in _FULL:
        told = _fullness(target.parent, str(target), needed, free_bytes(target.parent))
        return WriteError(f"{told}; free some or name a folder on another disk")
    return WriteError(
        f"{target} cannot be written ({error.strerror or error}); name a place that can be"
    )


def _sweep(path: Path) -> None:
    """Remove what processes that died left of writing `path`, once it is a day old."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        stat = stale.lstat()
        others = hasattr(os, "getuid") and stat.st_uid != os.getuid()
        if others or time.time() - stat.st_mtime < _STALE:
            continue
        log.info("removing %s, which a process that died left unfinished", stale)
        if stale.is_dir() and not stale.is_symlink():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def _umask() -> int:
    """The umask, which can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder, and need not
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash that a publisher states for a file, in hexadecimal.

    `algorithm` is a name of `hashlib`, or ``git`` for the SHA-1 that git gives a blob: of
    ``blob <size>\\0`` and the content.
    """

    algorithm: str
    value: str


def digest_of(path: Path, algorithm: str, progress: Progress = QUIET) -> str:
    """Hash the file at `path`; hexadecimal. Only a file that takes a while is worth a report."""
    size = path.stat().st_size
    progress = progress if size > CHUNK else QUIET
    if algorithm == "git":
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        digest = hashlib.new(algorithm)
    with working(progress, size, f"checking {path.name}"), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress.advance(len(chunk))
    return digest.hexdigest()


def matches(path: Path, digest: Digest, progress: Progress = QUIET) -> bool:
    """Whether the file has this hash; a yes is remembered until its size or time changes."""
    real = path.resolve()
    stat = real.stat()
    place = hashlib.sha256(os.fsencode(real)).hexdigest()[:16]
    record = cache_folder() / "verified" / f"{digest.value[:40]}-{place}.json"
    fact = {
        "path": str(real),
        "digest": f"{digest.algorithm}:{digest.value}",
        "size": stat.st_size,
        "modified": stat.st_mtime_ns,
    }
    if _read_json(record) == fact:
        return True
    if digest_of(real, digest.algorithm, progress) != digest.value:
        return False
    try:
        write_text(record, json.dumps(fact))
    except OSError as error:  # a read-only cache: the hash is then computed every time
        log.info("the check of %s cannot be remembered: %s", path.name, error)
    return True


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or damaged: the same as not remembered
        return None
