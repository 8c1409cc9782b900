"""The entrances of the library that a stranger's file can come through."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.errors import FathomError, ModelFileError

if TYPE_CHECKING:
    import torch

Options = Mapping[str, object]


def headers(path: Path, scratch: Path, options: Options) -> object:
    """The reader alone."""
    from fathom.checkpoint.headers import read_headers

    return len(read_headers(path, allow_pickle=bool(options.get("allow_pickle"))).tensors)


def inspect(path: Path, scratch: Path, options: Options) -> object:
    """`fathom inspect`, as a user runs it."""
    return _command(["inspect", str(path), "--tensors", "--json", *_flags(options)])


def convert(path: Path, scratch: Path, options: Options) -> object:
    """`fathom convert`: reads everything and writes it anew."""
    return _command(["convert", str(path), str(scratch / "converted"), *_flags(options)])


def open_model(path: Path, scratch: Path, options: Options) -> object:
    """`fathom.open`, and one token by the model."""
    return first_token(path, allow_pickle=bool(options.get("allow_pickle")))


def tokenizer(path: Path, scratch: Path, options: Options) -> object:
    """Build a folder's tokenizer and use it."""
    from fathom.inputs.tokenizer import Tokenizer

    found = Tokenizer.from_folder(path)
    ids = found.encode(str(options.get("text", "a b <|end|>")))
    return found.decode(ids)


def render(path: Path, scratch: Path, options: Options) -> object:
    """Render the chat template that lies in the file."""
    from fathom.inputs.chat import ChatTemplate

    messages = options.get("messages", [{"role": "user", "content": "hello"}])
    text = ChatTemplate(path.read_text()).render(messages)  # type: ignore[arg-type]
    leaks = [mark for mark in ("<class", "<module", "<code", "<function", "uid=") if mark in text]
    if leaks:
        raise RuntimeError(f"leaks {leaks}")
    return len(text)


def document(path: Path, scratch: Path, options: Options) -> object:
    """A configuration, read as data."""
    from fathom.checkpoint.documents import read_json

    return sorted(read_json(path))


def adapter(path: Path, scratch: Path, options: Options) -> object:
    """A LoRA adapter, from its headers and configuration."""
    from fathom.checkpoint.adapters import read_adapter

    return len(read_adapter(path, allow_pickle=bool(options.get("allow_pickle"))).changes)


def unpickle(path: Path, scratch: Path, options: Options) -> object:
    """What the child of `--allow-pickle` does, without its limits."""
    from fathom.checkpoint import pickle_child, pickles
    from fathom.checkpoint.unpickling import Source

    pickles.check_archive(path)
    try:
        return len(pickle_child.load(Source(path), 4 * path.stat().st_size))
    except Exception as error:
        raise ModelFileError(*pickle_child.fault(error), file=path) from error


def save(path: Path, scratch: Path, options: Options) -> object:
    """Write over a file, or a new folder beside it, and meet an accident at one step."""
    from fathom.checkpoint import storage
    from fathom.checkpoint.conversion import convert as rewrite
    from fathom.checkpoint.headers import read_headers
    from fathom.checkpoint.safetensors_writer import write_safetensors

    left = int(str(options["step"]))

    def accident(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0 and options["accident"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if left == 0:
            raise OSError(getattr(errno, str(options["accident"])), "an accident")

    storage.reached = accident
    if options["what"] == "file":
        try:
            write_safetensors(path / "model.safetensors", new_tensors(), {"version": "new"})
        except OSError as error:
            raise storage.unwritten(path, error) from error
    else:
        rewrite(read_headers(path), path, path / "saved")
    return None


def shortened(path: Path, scratch: Path, options: Options) -> object:
    """Open a copy of a model, which another program then shortens, and use it."""
    from fathom import library

    copy = scratch / "copy"
    shutil.copytree(path, copy)
    try:
        model = library.open(str(copy), dtype="float32", device="cpu")
        before = model.logits([[1, 2, 3]])
        for file in copy.glob("*.safetensors"):
            os.truncate(file, 8)
        if (model.logits([[1, 2, 3]]) != before).any():
            raise RuntimeError("another answer")
    finally:
        shutil.rmtree(copy)
    return None


def vocabulary(path: Path, scratch: Path, options: Options) -> object:
    """Build the tokenizer that GGUF metadata, here as JSON, describes, and use it."""
    from fathom.inputs.tokenizer import Tokenizer

    found = Tokenizer.from_gguf(json.loads(path.read_bytes()))
    return found.decode(found.encode("a b"))


def new_tensors() -> dict[str, torch.Tensor]:
    """What `save` writes over the old file."""
    import torch

    return {"a": torch.arange(1000.0), "b": torch.ones(7)}


DOORS: dict[str, Callable[[Path, Path, Options], object]] = {
    "headers": headers,
    "inspect": inspect,
    "open": open_model,
    "convert": convert,
    "tokenizer": tokenizer,
    "render": render,
    "document": document,
    "adapter": adapter,
    "unpickle": unpickle,
    "save": save,
    "shortened": shortened,
    "vocabulary": vocabulary,
}


def first_token(path: Path, *, allow_pickle: bool = False) -> int:
    """Open a model and let it choose one token."""
    from fathom import library

    model = library.open(str(path), dtype="float32", device="cpu", allow_pickle=allow_pickle)
    return int(model.logits([[1, 2, 3]])[0, -1].argmax())


def _flags(options: Options) -> list[str]:
    return ["--allow-pickle"] if options.get("allow_pickle") else []


def _command(words: list[str]) -> int:
    """Run a command; its error is raised again after checking that a user would see one line."""
    from fathom.cli import main

    caught: list[Exception] = []
    complain = main._complain

    def keep(error: Exception, debug: bool) -> None:
        caught.append(error)
        complain(error, debug)

    main._complain = keep
    output, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(complaint):
        status = main.main(words)
    if not caught:
        return status
    lines = complaint.getvalue().splitlines()
    errors = [line for line in lines if not line.startswith("fathom: note:")]
    if len(errors) != 1 or status != getattr(caught[0], "exit_code", None):
        raise RuntimeError(f"status {status}, {len(errors)} lines: {errors[:3]}")
    if not isinstance(caught[0], FathomError):
        raise RuntimeError(f"an untyped error: {caught[0]!r}")
    raise caught[0]
