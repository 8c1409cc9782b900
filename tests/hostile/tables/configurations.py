"""Configurations and indexes: lines CF-01 to CF-28 of the catalogue, and the keys of GGUF files."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch

from fathom.checkpoint.limits import JSON_DEPTH
from fathom.checkpoint.safetensors_writer import write_safetensors
from hostile.benign import tensors, write_model
from hostile.case import Build, Case, file_of
from hostile.tables.gguf import File, pair, text, u32

DOORS = ("inspect", "open", "convert")
READING = ("inspect", "open")  # what understands the configuration; convert copies it


def model(
    config: Mapping[str, object] | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Build:
    return lambda folder: write_model(folder / "model", config, weights)


def raw(content: str) -> Build:
    """Build the sound model with another text as its configuration."""

    def build(folder: Path) -> Path:
        path = write_model(folder / "model")
        (path / "config.json").write_text(content)
        return path

    return build


def sharded(weight_map: Mapping[str, str], *, link: bool = False, extra: str = "") -> Build:
    """Build two shards of two tensors, with an index that says `weight_map`."""

    def build(folder: Path) -> Path:
        path = folder / "model"
        path.mkdir()
        for name, file in (("a", FIRST), ("b", SECOND)):
            write_safetensors(path / file, {name: torch.zeros(4)})
        if extra:
            write_safetensors(path / extra, {"c": torch.zeros(4)})
        if link:
            (path / SECOND).rename(folder / "outside.safetensors")
            (path / SECOND).symlink_to(folder / "outside.safetensors")
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return path

    return build


def document(content: bytes) -> Build:
    return file_of("config.json", content)


def sparse(folder: Path) -> Path:
    path = folder / "config.json"
    with path.open("wb") as stream:
        stream.write(b"{}")
        stream.truncate(1 << 30)
    return path


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
SHARDS = {"a": FIRST, "b": SECOND}
INFINITE = '{"model_type":"mamba2","time_step_limit":[0.0,Infinity]}'

# What the configuration says otherwise than the sound one, and its code.
SIZES: dict[str, tuple[Mapping[str, object], str]] = {
    "CF-04 an unknown architecture that is code": (
        {"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}},
        "E_UNSAFE_CODE",
    ),
    "CF-05 activation os.system": ({"hidden_act": "os.system"}, "E_MISMATCH"),
    "CF-05 activation of Python's": ({"hidden_act": "__class__"}, "E_MISMATCH"),
    "CF-07 unknown way of storing": (
        {"quantization_config": {"quant_method": "evil"}},
        "E_MISMATCH",
    ),
    "CF-13 width 0": ({"hidden_size": 0}, "E_MISMATCH"),
    "CF-13 no heads": ({"num_attention_heads": 0}, "E_MISMATCH"),
    "CF-13 negative width": ({"hidden_size": -16}, "E_MISMATCH"),
    "CF-13 width of 2^31 and one": ({"hidden_size": 2**31 + 1}, "E_MISMATCH"),
    "CF-13 width in quotes": ({"hidden_size": "16"}, "E_MISMATCH"),
    "CF-13 width that is true": ({"hidden_size": True}, "E_MISMATCH"),
    "CF-14 a thousand million layers": ({"num_hidden_layers": 10**9}, "E_MISMATCH"),
    "CF-14 vocabulary of 2^40": ({"vocab_size": 2**40}, "E_MISMATCH"),
    "CF-15 key heads that do not share": ({"num_key_value_heads": 3}, "E_MISMATCH"),
    "CF-16 stretched by nothing": (
        {"rope_scaling": {"rope_type": "linear", "factor": 0}},
        "E_MISMATCH",
    ),
    "CF-16 stretched backwards": (
        {"rope_scaling": {"rope_type": "linear", "factor": -2.0}},
        "E_MISMATCH",
    ),
    "CF-16 stretched in an unknown way": (
        {"rope_scaling": {"rope_type": "evil", "factor": 2.0}},
        "E_MISMATCH",
    ),
    "CF-23 unknown type": ({"torch_dtype": "float13"}, "E_DTYPE"),
    "CF-25 blocks of no size": (
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}},
        "E_MISMATCH",
    ),
    "CF-27 a pattern as a name": ({"model_type": "(a+)+" * 1000}, "E_NAME"),
    "CF-28 a name that a terminal obeys": ({"model_type": "\x1b[2Jllama"}, "E_NAME"),
}
# Sizes that only the tensors contradict: found when the model is opened, before memory is taken.
BELIED: dict[str, Mapping[str, object]] = {
    "CF-14 vocabulary of 2^31": {"vocab_size": 2**31},
    "CF-14 ten thousand layers": {"num_hidden_layers": 10_000},
    "CF-14 another width": {"hidden_size": 32},
    "CF-14 another inner width": {"intermediate_size": 2**30},
    "CF-24 tied, and a head that nobody ties": {"num_key_value_heads": 2},
}
UNREAD: dict[str, Mapping[str, object]] = {
    "CF-01 auto_map": {"auto_map": {"AutoModelForCausalLM": "evil.Model"}},
    "CF-02 trust in code": {"trust_remote_code": True},
    "CF-03 kernels of a stranger": {"_attn_implementation_internal": "evil/repository"},
    "CF-04 code for a part": {"text_config": {"auto_map": {"AutoConfig": "evil.Config"}}},
    "CF-07 unknown classes": {"tokenizer_class": "Evil", "processor_class": "os.system"},
    "CF-24 tied embeddings beside a head": {"tie_word_embeddings": True},
}
DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "CF-17 deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "E_DEPTH"),
    "CF-17 deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "E_DEPTH"),
    "CF-17 one level too deep": (
        b'{"a":' + b"[" * JSON_DEPTH.most + b"]" * JSON_DEPTH.most + b"}",
        "E_DEPTH",
    ),
    "CF-18 five thousand digits": (b'{"a":' + b"9" * 5000 + b"}", "E_HEADER_SYNTAX"),
    "CF-19 key twice": (b'{"a":1,"a":1}', "E_DUPLICATE"),
    "CF-19 key twice within": (b'{"a":[{"b":1,"b":2}]}', "E_DUPLICATE"),
    "CF-20 NaN": (b'{"a":NaN}', "E_NONFINITE"),
    "CF-20 infinite": (b'{"a":-Infinity}', "E_NONFINITE"),
    "CF-20 1e400": (b'{"a":1e400}', "E_NONFINITE"),
    "CF-21 byte order mark": (b'\xef\xbb\xbf{"a":1}', "E_HEADER_ENCODING"),
    "CF-21 UTF-16": ('{"a":1}'.encode("utf-16"), "E_HEADER_ENCODING"),
    "CF-21 half a character": (b'{"a":"\\uD800"}', "E_HEADER_ENCODING"),
}
INDEXES: dict[str, tuple[Build, str]] = {
    **{
        f"CF-08 shard {name!r}": (sharded({"a": FIRST, "b": name}), "E_PATH")
        for name in ("../x.safetensors", "/etc/x", "C:\\x", "\\\\host\\x", "..\\x", "sub/x", "")
    },
    "CF-09 a pickle among the shards": (sharded({"a": FIRST, "b": "x.bin"}), "E_UNSAFE_CODE"),
    "CF-10 a link out of the folder": (sharded(SHARDS, link=True), "E_PATH"),
    "CF-11 a shard is missing": (
        sharded({**SHARDS, "c": "model-00003-of-00002.safetensors"}),
        "E_MISMATCH",
    ),
    "CF-11 a shard too many": (
        sharded(SHARDS, extra="model-00003-of-00002.safetensors"),
        "E_MISMATCH",
    ),
    "CF-11 a tensor in no shard": (sharded({**SHARDS, "c": FIRST}), "E_MISMATCH"),
    "CF-11 exchanged": (sharded({"a": SECOND, "b": FIRST}), "E_MISMATCH"),
}


def _missing(*names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors().items() if name not in names}


KEYS = {
    "context_length": 64,
    "embedding_length": 16,
    "block_count": 1,
    "feed_forward_length": 24,
    "attention.head_count": 2,
    "attention.head_count_kv": 1,
    "rope.dimension_count": 8,
    "vocab_size": 264,
}


def gguf(**changes: int | None) -> Build:
    """Build the keys of a Llama without its tensors; None leaves one out."""
    keys = {**KEYS, **{name.replace("__", "."): value for name, value in changes.items()}}
    packed = [
        pair("general.architecture", 8, text("llama")),
        pair("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        *(u32(f"llama.{name}", value) for name, value in keys.items() if value is not None),
    ]
    return file_of("model.gguf", File(keys=packed).build())


def _named(name: str) -> tuple[str, str]:
    id, _, title = name.partition(" ")
    return id, title


CASES = [
    *(
        Case(*_named(name), model(config), code, model(), READING, DOORS)
        for name, (config, code) in SIZES.items()
    ),
    *(
        Case(*_named(name), model(config), "E_MISMATCH", model(), ("open",), DOORS)
        for name, config in BELIED.items()
    ),
    *(Case(*_named(name), model(config), doors=DOORS) for name, config in UNREAD.items()),
    *(
        Case(
            *_named(name),
            document(content),
            code,
            document(b'{"a":1}'),
            ("document",),
            ("document",),
        )
        for name, (content, code) in DOCUMENTS.items()
    ),
    *(
        Case(*_named(name), build, code, sharded(SHARDS), ("headers", "inspect", "open", "convert"))
        for name, (build, code) in INDEXES.items()
    ),
    Case(
        "CF-13",
        "width 1e400",
        raw('{"model_type":"llama","hidden_size":1e400}'),
        "E_NONFINITE",
        model(),
        READING,
        DOORS,
    ),
    Case(
        "CF-13",
        "width NaN",
        raw('{"model_type":"llama","hidden_size":NaN}'),
        "E_NONFINITE",
        model(),
        READING,
        DOORS,
    ),
    Case(
        "CF-20",
        "infinite where it means none, and elsewhere",
        raw(INFINITE.replace("time_step_limit", "hidden_size")),
        "E_NONFINITE",
        model(),
        READING,
        DOORS,
    ),
    Case(
        "CF-21",
        "a gigabyte",
        sparse,
        "E_LIMIT",
        document(b"{}"),
        ("document",),
        ("document",),
        seconds=10.0,
    ),
    Case(
        "CF-26",
        "a parameter without a tensor",
        model(None, _missing("model.norm.weight")),
        "E_MISMATCH",
        model(),
        ("open",),
        DOORS,
    ),
    Case(
        "CF-26",
        "a tensor without a parameter",
        model(None, {**tensors(), "model.evil.weight": torch.zeros(4)}),
        "E_MISMATCH",
        model(),
        ("open",),
        DOORS,
    ),
    *(
        Case(
            "GG-54",
            f"{name} of 0",
            gguf(**{name.replace(".", "__"): 0}),
            "E_MISMATCH",
            gguf(),
            DOORS,
            ("inspect",),
        )
        for name in KEYS
        if name != "rope.dimension_count"  # which a Llama of ours never reads
    ),
    *(
        Case(
            "GG-55",
            f"no {name}",
            gguf(**{name.replace(".", "__"): None}),
            "E_MISMATCH",
            gguf(),
            DOORS,
            ("inspect",),
        )
        for name in ("embedding_length", "block_count", "attention.head_count")
    ),
]
