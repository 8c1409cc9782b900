"""Which files of a repository are fetched: layouts as they are published."""

from __future__ import annotations

import pytest

from fathom.checkpoint.sources.hub_files import PREFERRED_ENCODINGS, Selection, complete, select
from fathom.errors import ModelFileError, NotFoundError

TOKENIZER = ["config.json", "tokenizer.json", "tokenizer_config.json"]
SINGLE = [*TOKENIZER, "model.safetensors", "README.md"]
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX = "model.safetensors.index.json"
GGUF = ["m-Q2_K.gguf", "m-Q4_K_M.gguf", "m.Q8_0.gguf", "mmproj-m-F16.gguf", "m.imatrix.gguf"]
SPLIT = ["b/m-Q4_K_M-00001-of-00002.gguf", "b/m-Q4_K_M-00002-of-00002.gguf"]


@pytest.mark.parametrize(
    ("names", "wanted", "path", "weights"),
    [
        (SINGLE, None, "", ["model.safetensors"]),
        ([*SINGLE, "pytorch_model.bin", "tf_model.h5"], None, "", ["model.safetensors"]),
        ([*SINGLE, "model.fp16.safetensors"], None, "", ["model.safetensors"]),
        ([*TOKENIZER, INDEX, *SHARDS], None, "", SHARDS),
        ([*TOKENIZER, INDEX, *SHARDS, "consolidated.safetensors"], None, "", SHARDS),
        ([*TOKENIZER, INDEX, *SHARDS, "model.safetensors"], None, "", SHARDS),
        ([*SINGLE, "original/consolidated.safetensors"], None, "", ["model.safetensors"]),
        ([*SINGLE, "m.gguf"], None, "", ["model.safetensors"]),
        (["config.json", "odd_name.safetensors"], None, "", ["odd_name.safetensors"]),
        (["adapter_config.json", "adapter_model.safetensors"], None, "", None),
        (GGUF, None, "m-Q4_K_M.gguf", ["m-Q4_K_M.gguf"]),
        (GGUF, "m.Q8_0.gguf", "m.Q8_0.gguf", ["m.Q8_0.gguf"]),
        (GGUF, "q8_0", "m.Q8_0.gguf", ["m.Q8_0.gguf"]),
        (SPLIT, None, SPLIT[0], SPLIT),
        (SPLIT, "Q4_K_M", SPLIT[0], SPLIT),
        ([*SINGLE, "sub/config.json", "sub/model.safetensors"], "sub", "sub", None),
        ([*SINGLE, "other.safetensors"], "other.safetensors", "other.safetensors", None),
    ],
)
def test_published_layouts(
    names: list[str], wanted: str | None, path: str, weights: list[str] | None
) -> None:
    chosen = select(names, wanted, "owner/name")
    assert chosen.path == path
    assert len(set(chosen.files)) == len(chosen.files)
    assert set(chosen.files) <= set(names)
    if weights is not None:
        assert list(chosen.files[-len(weights) :]) == weights
        others = chosen.files[: -len(weights)]
        assert not [name for name in others if name.endswith((".safetensors", ".gguf", ".bin"))]
    assert complete(chosen)


def test_everything_beside_the_weights_comes_and_nothing_else() -> None:
    beside = [*TOKENIZER, "README.md", "LICENSE", "tokenizer.model", "merges.txt", "vocab.txt",
              "chat_template.jinja", "1_Pooling/config.json"]  # fmt: skip
    ballast = ["onnx/config.json", "model.onnx", "image.png", "train.py", ".gitattributes"]
    chosen = select([*beside, *ballast, "model.safetensors"], None, "owner/name")
    assert set(chosen.files) == {*beside, "model.safetensors"}
    assert chosen.files[-1] == "model.safetensors"  # so that weights mean that the rest is there


def test_an_embedding_model_brings_its_steps() -> None:
    steps = ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]
    names = [*SINGLE, "modules.json", *steps, "onnx/model.onnx", "2_Dense/pytorch_model.bin"]
    chosen = select(names, None, "owner/name")
    assert set(chosen.files) == {*SINGLE, "modules.json", *steps}
    assert chosen.files[-1] == "model.safetensors"
    assert steps[2] not in select([*SINGLE, *steps], None, "owner/name").files


def test_a_pipeline_brings_its_parts() -> None:
    names = ["model_index.json", "unet/diffusion_pytorch_model.safetensors", "unet/config.json",
             "unet/diffusion_pytorch_model.fp16.safetensors", "vae/config.json",
             "vae/diffusion_pytorch_model.safetensors", "single_file.safetensors"]  # fmt: skip
    chosen = select(names, None, "owner/name")
    assert set(names) - set(chosen.files) == {
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "single_file.safetensors",
    }


def test_a_pipeline_is_configured_by_its_index_and_its_parts() -> None:
    small = ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json",
             "tokenizer/vocab.json", "tokenizer/merges.txt"]  # fmt: skip
    names = [*small, "unet/diffusion_pytorch_model.safetensors", "onnx/unet/config.json", "a.png"]
    chosen = select(names, "config.json", "owner/name")
    assert (chosen.path, set(chosen.files)) == ("model_index.json", set(small))
    alone = select(["config.json", *names], "config.json", "owner/name")
    assert (alone.path, alone.files) == ("config.json", ("model_index.json", "config.json"))


@pytest.mark.parametrize("encoding", PREFERRED_ENCODINGS)
def test_each_preferred_encoding_is_recognised_and_ranked(encoding: str) -> None:
    rest = PREFERRED_ENCODINGS[PREFERRED_ENCODINGS.index(encoding) :]
    names = [f"model-{other}.gguf" for other in reversed(rest)]
    chosen = select(names, None, "owner/name")
    assert chosen.path == f"model-{encoding}.gguf"
    assert bool(chosen.notes) == (len(names) > 1)  # a choice made for the user is told
    assert select(names, encoding.lower(), "owner/name").path == chosen.path


@pytest.mark.parametrize("wanted", [None, "pytorch_model.bin"])
def test_pickles_are_refused_until_they_are_allowed(wanted: str | None) -> None:
    names = ["config.json", "pytorch_model.bin"]
    with pytest.raises(ModelFileError, match="--allow-pickle") as caught:
        select(names, wanted, "owner/name")
    assert caught.value.code == "E_PICKLE"
    chosen = select(names, wanted, "owner/name", allow_pickle=True)
    assert chosen.files == ("config.json", "pytorch_model.bin")


@pytest.mark.parametrize(
    ("names", "wanted", "said"),
    [
        (["README.md"], None, "has no weights"),
        ([], None, "has no weights"),
        (["mmproj-m.gguf"], None, "none is a model"),
        (GGUF, "m-Q4_K_N.gguf", "Did you mean m-Q4_K_M.gguf"),
        (GGUF, "Q5_K_M", "Its encodings are Q2_K, Q4_K_M, Q8_0"),
    ],
)
def test_what_is_not_there(names: list[str], wanted: str | None, said: str) -> None:
    with pytest.raises(NotFoundError, match=said):
        select(names, wanted, "owner/name")


def test_a_missing_shard_is_noticed() -> None:
    assert complete(Selection("", ("config.json", *SHARDS)))
    assert not complete(Selection("", ("config.json", SHARDS[0])))
    assert not complete(Selection("", tuple(SPLIT[1:])))
