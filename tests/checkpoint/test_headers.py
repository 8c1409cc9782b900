"""Which format a file or folder has, and that reading headers touches no tensor."""

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fathom
from fathom.checkpoint.headers import file_format, read_headers
from fathom.checkpoint.safetensors_writer import write_safetensors
from fathom.errors import ModelFileError, NotFoundError

GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)
ONE_TENSOR = {"a": torch.zeros(2)}


def test_a_file_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    """The hub's cache keeps files under their digest, without an extension."""
    path = tmp_path / "5feceb66"
    write_safetensors(path, ONE_TENSOR)
    assert (file_format(path), read_headers(path).format) == ("safetensors", "safetensors")
    path.write_bytes(GGUF)
    assert (file_format(path), read_headers(path).format) == ("gguf", "gguf")
    torch.save(ONE_TENSOR, path)
    assert file_format(path) == "pickle"
    path.write_bytes(pickle.dumps(1))
    assert file_format(path) == "pickle"
    path.write_bytes(b"hello, world")
    assert file_format(path) == ""


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_whose_length_looks_like_a_pickle_is_safetensors(
    length: int, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    path.write_bytes(struct.pack("<Q", length) + b"{}".ljust(length))
    assert read_headers(path).format == "safetensors"


@pytest.mark.parametrize("name", ["model.safetensors", "model.gguf", "model.json"])
def test_a_pickle_under_another_name_is_refused(name: str, tmp_path: Path) -> None:
    """PK-19: even with permission, since its name lies."""
    path = tmp_path / name
    torch.save(ONE_TENSOR, path)
    for allow in (False, True):
        with pytest.raises(ModelFileError, match="E_MAGIC"):
            read_headers(path, allow_pickle=allow)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("model.safetensors", b"", "E_TRUNCATED"),
        ("model.gguf", b"GG", "E_TRUNCATED"),
        ("model.gguf", b"FUGG" + b"\0" * 20, "E_MAGIC"),
        ("model.bin", b"hello, world", "E_MAGIC"),
        ("model", b"7z\xbc\xaf\x27\x1c", "E_MAGIC"),
    ],
)
def test_what_is_no_checkpoint_says_why(
    name: str, content: bytes, code: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_headers(path)
    assert caught.value.code == code


def test_safetensors_come_before_gguf_before_pickles(tmp_path: Path) -> None:
    torch.save(ONE_TENSOR, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match="E_UNSAFE_CODE"):
        read_headers(tmp_path)
    (tmp_path / "model.gguf").write_bytes(GGUF)
    assert read_headers(tmp_path).format == "gguf"
    write_safetensors(tmp_path / "model.safetensors", ONE_TENSOR)
    assert read_headers(tmp_path).format == "safetensors"


def test_two_checkpoints_in_a_folder_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "q4.gguf").write_bytes(GGUF)
    assert read_headers(tmp_path).files == (tmp_path / "q4.gguf",)
    (tmp_path / "q8.gguf").write_bytes(GGUF)
    with pytest.raises(NotFoundError, match=r"q4\.gguf, q8\.gguf"):
        read_headers(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        read_headers(tmp_path / "absent")
    with pytest.raises(NotFoundError, match="holds no weights"):
        read_headers(tmp_path)


def test_reading_headers_imports_no_torch(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", ONE_TENSOR)
    program = (
        "import sys; from pathlib import Path; from fathom.checkpoint.headers import read_headers;"
        f"assert read_headers(Path({str(tmp_path)!r})).size == 8;"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(fathom.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.split() == ["False", "False"]


def _bytes_read() -> int:
    """Bytes that this process asked the kernel for, from files and elsewhere."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def _minor_and_major_faults() -> int:
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_majflt + usage.ru_minflt


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes by Linux's /proc")
def test_400_gigabytes_are_described_from_their_headers(tmp_path: Path) -> None:
    """100 sparse shards of 4 GB: what is read is the headers, and no block is ever written."""
    shards, per_shard, width = 100, 16, 250_000_000
    weight_map: dict[str, str] = {}
    headers = 0
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        entries = {
            f"layers.{shard}.{number}.weight": {
                "dtype": "BF16",
                "shape": [width // 2],
                "data_offsets": [number * width, (number + 1) * width],
            }
            for number in range(per_shard)
        }
        text = json.dumps(entries).encode()
        headers += len(text)
        weight_map |= dict.fromkeys(entries, name)
        with (tmp_path / name).open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            stream.truncate(8 + len(text) + per_shard * width)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))

    before, faults = _bytes_read(), _minor_and_major_faults()
    contents = read_headers(tmp_path)
    read, touched = _bytes_read() - before, _minor_and_major_faults() - faults

    assert contents.size == shards * per_shard * width == 400_000_000_000
    assert len(contents.tensors) == shards * per_shard
    # File buffers may fetch ahead: a few pages a shard, and nothing that grows with the tensors.
    assert read < headers + index.stat().st_size + shards * 64 * 1024
    assert touched * 4096 < 64 << 20
