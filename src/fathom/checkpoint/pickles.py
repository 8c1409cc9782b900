"""PyTorch pickles: refused, because a pickle is a program.

With permission they are read by an unpickler that knows a dozen names (`unpickling.py`), in a
child process that has no secret in its environment and, once it has begun, opens no file and no
socket (`confinement.py`). It writes safetensors; the parent reads those and never unpickles.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fathom.checkpoint.contents import Contents, TensorInfo
from fathom.checkpoint.limits import PICKLE_GROWTH, PICKLE_MEMBERS, PICKLE_SECONDS
from fathom.checkpoint.safetensors import read_header
from fathom.confinement import command, environment
from fathom.errors import ModelFileError

__all__ = ["find_pickles", "is_pickle", "read_pickles"]

_CHILD = "fathom.checkpoint.pickle_child"
_ZIP = b"PK\x03\x04"
_PROTOCOLS = (2, 3, 4, 5)
_PATTERNS = ("pytorch_model*.bin", "*.bin", "*.pt", "*.pth")
# What training leaves beside the weights: settings and random states, no model.
_NOT_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state.*)\.(bin|pt|pth)")
_PART = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.bin")
_SYMBOLIC_LINK = stat.S_IFLNK


def is_pickle(start: bytes) -> bool:
    """Whether a file that begins so is a PyTorch archive or a bare pickle."""
    return start.startswith(_ZIP) or (
        len(start) > 1 and start[0] == 0x80 and start[1] in _PROTOCOLS
    )


def find_pickles(folder: Path) -> tuple[Path, ...]:
    """The pickles of weights in a folder: the shards of one model, or one file."""
    for pattern in _PATTERNS:
        files = [
            file for file in sorted(folder.glob(pattern)) if not _NOT_WEIGHTS.fullmatch(file.name)
        ]
        if files:
            return tuple(files)
    return ()


def read_pickles(files: tuple[Path, ...], *, allow_pickle: bool) -> Contents:
    """Convert pickles to safetensors in a temporary folder and read the headers of those.

    The folder goes when this process ends; it takes as much disk as the pickles.

    Raises:
        ModelFileError: ``E_UNSAFE_CODE`` without `allow_pickle`, or where the file asks for more
            than tensors; another code where it is damaged.
    """
    if not allow_pickle:
        detail = (
            "a PyTorch pickle, which can run code when read; use a .safetensors or .gguf of this "
            "model, or convert it: fathom convert NAME OUT --allow-pickle"
        )
        raise ModelFileError("E_UNSAFE_CODE", detail, file=files[0])
    _check_parts(files)
    for file in files:
        check_archive(file)
    folder = Path(tempfile.mkdtemp(prefix="fathom-pickle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tensors: dict[str, TensorInfo] = {}
    for number, file in enumerate(files):
        target = folder / f"{number}.safetensors"
        _convert(file, target)
        for name, tensor in read_header(target).tensors.items():
            if name in tensors:
                detail = f"the tensor {name} is in more than one file; remove one"
                raise ModelFileError("E_MISMATCH", detail, file=file)
            tensors[name] = replace(tensor, file=target)
    return Contents("pickle", files, tensors)


# What zipfile raises; the last two where an offset leads outside the file or a name is no text.
_DAMAGED = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError),
    *(OSError, ValueError),
)


def check_archive(path: Path) -> None:
    """Refuse an archive that a careful reader and torch could read differently.

    Bare pickles have no directory to check; the child refuses what is wrong with them.
    """
    with path.open("rb") as stream:
        if not stream.read(4).startswith(_ZIP):
            return
    try:
        with zipfile.ZipFile(path) as archive:
            PICKLE_MEMBERS.check(len(archive.filelist), "too many members", file=path)
            _check_members(archive, path)
            archive.read(_program(archive, path))  # compares its checksum
    except _DAMAGED as error:
        detail = f"a damaged archive ({error}); fetch it again"
        raise ModelFileError("E_HEADER_SYNTAX", detail, file=path) from None


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    counts = Counter(member.filename for member in archive.filelist)
    for member in archive.filelist:
        name = member.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
            detail = f"a member is named {name[:80]!r}; do not use this file"
            raise ModelFileError("E_PATH", detail, file=path)
        if stat.S_IFMT(member.external_attr >> 16) == _SYMBOLIC_LINK:
            raise ModelFileError("E_PATH", f"the member {name[:80]!r} is a link", file=path)
        if counts[name] > 1:
            detail = f"the member {name[:80]!r} occurs twice; do not use this file"
            raise ModelFileError("E_DUPLICATE", detail, file=path)
        if member.compress_type != zipfile.ZIP_STORED:
            detail = f"the member {name[:80]!r} is compressed, which torch never does"
            raise ModelFileError("E_LIMIT", detail, file=path)
        if parts[-1:] == ("constants.pkl",) or "code" in parts[:-1]:
            detail = "a TorchScript program, not weights; save its state_dict instead"
            raise ModelFileError("E_UNSAFE_CODE", detail, file=path)


def _program(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one member ``data.pkl``."""
    found = [member for member in archive.filelist if member.filename.endswith("data.pkl")]
    if not found:
        detail = "an archive without data.pkl, so not from torch.save"
        raise ModelFileError("E_MAGIC", detail, file=path)
    if len(found) > 1:
        detail = "an archive with more than one data.pkl; do not use it"
        raise ModelFileError("E_DUPLICATE", detail, file=path)
    return found[0]


def _check_parts(files: tuple[Path, ...]) -> None:
    match = _PART.fullmatch(files[0].name)
    if len(files) == 1 and match is None:
        return
    if match is None:
        detail = f"lies beside {files[1].name}; name the file that you want"
        raise ModelFileError("E_MISMATCH", detail, file=files[0])
    stem, parts = match["stem"], int(match["parts"])
    expected = [f"{stem}-{part:05}-of-{parts:05}.bin" for part in range(1, parts + 1)]
    if len(files) > 1 and [file.name for file in files] != expected:
        detail = f"{len(files)} of {parts} shards are here; fetch the others"
        raise ModelFileError("E_MISMATCH", detail, file=files[0])


def _convert(source: Path, target: Path) -> None:
    """Run the child; it prints nothing, or one JSON object with ``code`` and ``detail``."""
    size = source.stat().st_size
    most = size * PICKLE_GROWTH.most
    try:
        child = subprocess.run(
            command(_CHILD, source, target, most, PICKLE_SECONDS.most),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            timeout=PICKLE_SECONDS.most,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"took longer than {PICKLE_SECONDS.most} s to read; convert it to safetensors"
        raise ModelFileError("E_TIMEOUT", detail, file=source) from None
    if child.returncode == 0 and target.is_file():
        return
    try:
        fault = json.loads(child.stdout)
        code, detail = str(fault["code"]), str(fault["detail"])
    except (ValueError, KeyError, TypeError):
        shortened = child.returncode == -getattr(signal, "SIGBUS", 0)  # its mapping lost its end
        code = "E_TRUNCATED" if shortened else "E_LIMIT"
        detail = f"the process that read it ended with status {child.returncode}"
    raise ModelFileError(code, f"{detail}; convert it to safetensors", file=source)
