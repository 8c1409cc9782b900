"""The parsers of bytes that strangers wrote, each as one function of bytes, for fuzzing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from fathom.checkpoint import gguf, safetensors
from fathom.checkpoint.documents import parse_json
from fathom.checkpoint.index import read_index
from fathom.errors import FathomError
from hostile.benign import CONFIG
from hostile.tables.gguf import ACCEPTED as GGUF_FILES
from hostile.tables.safetensors import ACCEPTED as SAFETENSORS_FILES

_FOLDER = Path(tempfile.gettempdir())


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            return read(path)

    return parse


def _json(data: bytes) -> object:
    return parse_json(data, file=Path("config.json"), boundless=("time_step_limit",))


PARSERS: dict[str, Callable[[bytes], object]] = {
    "safetensors": _file("model.safetensors", safetensors.read_header),
    "gguf": _file("model.gguf", gguf.read_header),
    "json": _json,
    "index": _file("model.safetensors.index.json", read_index),
}
# Sound files that mutations begin from: the corpus.
SEEDS: dict[str, list[bytes]] = {
    "safetensors": [each for each in SAFETENSORS_FILES.values() if len(each) < 4096],
    "gguf": list(GGUF_FILES.values()),
    "json": [repr(dict(CONFIG)).replace("'", '"').replace("False", "false").encode()],
    "index": [
        b'{"metadata":{"total_size":4},"weight_map":{"a":"model-00001-of-00001.safetensors"}}'
    ],
}


def survives(parser: str, data: bytes) -> None:
    """Parse; only an error of ours may come out."""
    try:
        PARSERS[parser](data)
    except FathomError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
