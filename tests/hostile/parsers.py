"""The parsers of bytes that strangers wrote, each as one function of bytes, for fuzzing.

Beside sound files, mutations begin from a corpus: inputs that a guided run found to reach
different code, as lines of base 64 in ``corpus/<parser>.txt`` below one that tells of the run
(see ``fuzz_parsers.py``).
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from fathom.checkpoint import gguf, safetensors
from fathom.checkpoint.configuration import read_configuration
from fathom.checkpoint.documents import parse_json
from fathom.checkpoint.index import read_index
from fathom.checkpoint.pickles import check_archive
from fathom.errors import FathomError
from fathom.inputs.scrutiny import scrutinise
from fathom.inputs.sentencepiece import parse_model
from hostile.benign import CONFIG, tokenizer_json
from hostile.tables.gguf import ACCEPTED as GGUF_FILES
from hostile.tables.pickles import STATE, saved
from hostile.tables.safetensors import ACCEPTED as SAFETENSORS_FILES
from hostile.tables.tokenizers import WHOLE, pieces

CORPUS = Path(__file__).parent / "corpus"
_SHARD = "model-00001-of-00001.safetensors"


def _file(
    name: str, read: Callable[[Path], object], beside: Mapping[str, bytes] | None = None
) -> Callable[[bytes], object]:
    """Make a function of bytes of one that reads a file, with others beside it."""

    def parse(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            for other, content in (beside or {}).items():
                (Path(folder) / other).write_bytes(content)
            path = Path(folder) / name
            path.write_bytes(data)
            return read(path)

    return parse


def _json(data: bytes) -> object:
    return parse_json(data, file=Path("config.json"), boundless=("time_step_limit",))


def _scrutinise(data: bytes) -> object:
    return scrutinise(data.decode(errors="replace"))


PARSERS: dict[str, Callable[[bytes], object]] = {
    "safetensors": _file("model.safetensors", safetensors.read_header),
    "gguf": _file("model.gguf", gguf.read_header),
    "json": _json,
    "index": _file(
        "model.safetensors.index.json", read_index, {_SHARD: SAFETENSORS_FILES["ST-36 odd address"]}
    ),
    "configuration": _file("config.json", read_configuration),
    "archive": _file("pytorch_model.bin", check_archive),
    "tokenizer": _scrutinise,
    "sentencepiece": parse_model,
}
_INDEX = {"metadata": {"total_size": 5}, "weight_map": {"a": _SHARD, "b": _SHARD}}
# Sound files that mutations begin from.
SOUND: dict[str, list[bytes]] = {
    "safetensors": [each for each in SAFETENSORS_FILES.values() if len(each) < 4096],
    "gguf": list(GGUF_FILES.values()),
    "json": [json.dumps(dict(CONFIG)).encode()],
    "index": [json.dumps(_INDEX).encode()],
    "configuration": [json.dumps(dict(CONFIG)).encode()],
    "archive": [saved(STATE)],
    "tokenizer": [json.dumps(WHOLE).encode(), tokenizer_json().encode()],
    "sentencepiece": [pieces()],
}


def found(parser: str) -> list[bytes]:
    """The corpus of a parser; empty where no guided run was kept."""
    return [base64.b64decode(line) for line in _lines(parser)[1:]]


def last_run(parser: str) -> str:
    """When a parser was fuzzed, for how long, and whether it survived; empty if never."""
    return "".join(_lines(parser)[:1]).removeprefix("# ")


def _lines(parser: str) -> list[str]:
    file = CORPUS / f"{parser}.txt"
    return file.read_text().splitlines() if file.is_file() else []


def survives(parser: str, data: bytes) -> None:
    """Parse; only an error of ours may come out."""
    try:
        PARSERS[parser](data)
    except FathomError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
