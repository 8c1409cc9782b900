"""Models that read, see and hear against the reference, from files on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Reference

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError, SoundError
from fathom.inputs.content import Medium
from fathom.ops.choose import only
from fathom.spec.omni import Omni
from fathom.spec.parts import count
from fathom.spec.work import Work
from parity.cases_omni import AUDIO, CASES, CONTROL, IDS, TEMPLATE, TEXT, VISION, WHOLE
from parity.conftest import Measured
from parity.labelled import case_id
from parity.speech_case import byte_alphabet_ids
from parity.test_decoders import relative_error
from parity.test_views import film, pictures, scores

RATE = 16_000
SEEING = {"patch_size": 4, "min_pixels": 64, "max_pixels": 48 * 40}


def sounds() -> list[np.ndarray]:
    """Return a sound of many pieces and a bit, and one shorter than a piece."""
    chance = np.random.default_rng(0)
    return [chance.normal(0, 0.1, size).astype(np.float32) for size in (RATE // 2 + 700, 900)]


@dataclass(frozen=True)
class Pair:
    theirs: Any
    folder: Path

    def ours(self) -> Any:
        return library.open(str(self.folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module", params=CASES)
def label(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(label: str, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    torch.manual_seed(0)
    theirs = Reference(transformers.Qwen2_5OmniThinkerConfig(**CASES[label])).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("model") / "saved"
    theirs.generation_config.eos_token_id = IDS["</s>"]
    theirs.generation_config.pad_token_id = IDS["<pad>"]
    theirs.save_pretrained(folder)
    save_beside(folder)
    return Pair(theirs, folder)


def save_beside(folder: Path) -> None:
    """Save a tokenizer of single bytes, a template, and how pictures and sound are prepared."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(byte_alphabet_ids(), []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(CONTROL))
    backend.save(str(folder / "tokenizer.json"))
    stated = {"eos_token": "</s>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    hearing = {"feature_size": 16, "chunk_length": 2, "sampling_rate": RATE}
    preparing = {"image_processor_type": "Qwen2VLImageProcessor", **SEEING, **hearing}
    (folder / "preprocessor_config.json").write_text(json.dumps(preparing))
    sizes = {name: SEEING[name] for name in ("min_pixels", "max_pixels")}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(sizes))


def media() -> list[Medium]:
    """Return two pictures, a sound before them and one behind, and a video."""
    first, second = sounds()
    seen = [Medium("image", one) for one in pictures()]
    return [Medium("audio", first), *seen, Medium("video", film()), Medium("audio", second)]


MARKS = {
    "image": ("<seen>", "<image>", "</seen>"),
    "video": ("<seen>", "<video>", "</seen>"),
    "audio": ("<heard>", "<sound>", "</heard>"),
}


def given(said: str) -> dict[str, Tensor]:
    """Return what the reference is given for all media and what is said, by its own processors."""
    found: dict[str, Tensor] = {}
    counts = iter((*_heard(found)[:1], *_seen(found), _moved(found), *_heard(found)[1:]))
    tokens = [IDS["<turn>"], *b"user: "]
    for medium in media():
        begin, inner, end = MARKS[medium.kind]
        tokens += [IDS[begin], *[IDS[inner]] * next(counts), IDS[end]]
    tokens += [*said.encode(), IDS["</s>"], IDS["<turn>"], *b"assistant: "]
    found["input_ids"] = torch.tensor([tokens])
    found["attention_mask"] = torch.ones_like(found["input_ids"])
    return found


def _heard(found: dict[str, Tensor]) -> list[int]:
    extractor = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    heard = extractor(
        sounds(),
        sampling_rate=RATE,
        return_attention_mask=True,
        padding="max_length",
        return_tensors="pt",
    )
    found["input_features"] = heard["input_features"]
    found["feature_attention_mask"] = heard["attention_mask"]
    frames = heard["attention_mask"].sum(-1).tolist()
    return [(((one - 1) // 2 + 1) - 2) // 2 + 1 for one in frames]


def _seen(found: dict[str, Tensor]) -> list[int]:
    processor = transformers.Qwen2VLImageProcessorPil(**SEEING)
    seen = [processor([one], return_tensors="pt") for one in pictures()]
    found["pixel_values"] = torch.cat([one["pixel_values"] for one in seen])
    found["image_grid_thw"] = torch.cat([one["image_grid_thw"] for one in seen])
    return [int(grid.prod()) // 4 for grid in found["image_grid_thw"]]


def _moved(found: dict[str, Tensor]) -> int:
    processor = transformers.Qwen2VLImageProcessorPil(**SEEING)
    frames = [*film(), film()[-1]]
    seen = [processor([frame], return_tensors="pt") for frame in frames]
    each = [one["pixel_values"].unflatten(1, (3, 2, 4, 4))[:, :, 0] for one in seen]
    groups = [torch.stack(two, dim=2).flatten(1) for two in zip(each[::2], each[1::2], strict=True)]
    found["pixel_values_videos"] = torch.cat(groups)
    _, rows, columns = seen[0]["image_grid_thw"][0].tolist()
    found["video_grid_thw"] = torch.tensor([[len(groups), rows, columns]])
    found["video_second_per_grid"] = torch.tensor([1.0])
    return len(groups) * rows * columns // 4


def test_scores_equal_the_reference(pair: Pair, label: str, measured: Measured) -> None:
    model = pair.ours()
    marks = "".join("".join(MARKS[one.kind]) for one in media())
    asked = f"<turn>user: {marks}What?</s><turn>assistant: "
    ids = model.tokenizer.encode(asked, add_special=False)
    with torch.inference_mode():
        expected = pair.theirs(**given("What?")).logits
        plain = torch.tensor([model.tokenizer.encode("nothing at all")])
        reading = relative_error(model.module(plain), pair.theirs(input_ids=plain).logits)
    error = relative_error(scores(model, ids, media()), expected)
    assert measured(case_id("qwen2_5_omni_thinker", label), model.spec, max(error, reading)) < 1e-4


def test_within_the_whole_scores_equal_the_reference(
    pair: Pair, label: str, tmp_path: Path, measured: Measured
) -> None:
    """As published: the thinker's names begin so, and what speaks is left alone."""
    config = json.loads((pair.folder / "config.json").read_text())
    whole = {"model_type": "qwen2_5_omni", "thinker_config": config, "dtype": "float32"}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    tensors = load_file(pair.folder / "model.safetensors")
    named = {f"thinker.{name}": tensor for name, tensor in tensors.items()}
    named["talker.model.layers.0.input_layernorm.weight"] = torch.ones(3)
    named["token2wav.code2wav_bigvgan_model.conv_pre.bias"] = torch.ones(3)
    save_file(named, tmp_path / "model.safetensors")
    save_beside(tmp_path)
    model = library.open(str(tmp_path), dtype="float32", device="cpu")
    tokens = torch.tensor([model.tokenizer.encode("nothing at all")])
    with torch.inference_mode():
        expected = pair.theirs(input_ids=tokens).logits
        error = relative_error(model.module(tokens), expected)
    assert measured(case_id("qwen2_5_omni", WHOLE), model.spec, error) < 1e-4


def test_answers_are_the_references(pair: Pair) -> None:
    """From pictures, a video and sound to the tokens of the answer; and of the next turn."""
    model = pair.ours()
    names = {"image": "image", "video": "video", "audio": "audio"}
    parts = [{"type": one.kind, names[one.kind]: one.source} for one in media()]
    said = {"type": "text", "text": "What <sound>?"}  # what a user types is text
    answer = model.chat([{"role": "user", "content": [*parts, said]}], max_tokens=6)
    list(answer)
    inputs = given("What <sound>?")
    typed = [IDS["<sound>"]]
    assert inputs["input_ids"][0].tolist().count(typed[0]) > 2
    length = inputs["input_ids"].shape[1]
    wanted = answered(pair, inputs)
    assert answer.usage.prompt_tokens == length
    assert list(answer.tokens) == wanted
    more = [*wanted, IDS["<turn>"], *b"So?", IDS["</s>"], IDS["<turn>"]]
    ids = model.tokenizer.encode("<turn>user: ", add_special=False)
    for one in media():
        ids += [IDS[token] for token in MARKS[one.kind]]
    ids += [*b"What <sound>?", IDS["</s>"], IDS["<turn>"], *b"assistant: ", *more]
    second = model._begun(ids, media(), {"max_tokens": 6})
    list(second)
    inputs["input_ids"] = torch.cat((inputs["input_ids"], torch.tensor([more])), dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    assert list(second.tokens) == answered(pair, inputs)
    assert second.usage.reused_tokens > length


def answered(pair: Pair, inputs: Mapping[str, Tensor]) -> list[int]:
    """Return what the reference writes after a prompt."""
    with torch.inference_mode():
        found = pair.theirs.generate(**inputs, max_new_tokens=6, do_sample=False)
    written: list[int] = found[0, inputs["input_ids"].shape[1] :].tolist()
    return written


def test_saved_it_has_the_references_names_again(pair: Pair, tmp_path: Path) -> None:
    pair.ours().save(tmp_path / "again")
    ours, saved = (load_file(at / "model.safetensors") for at in (tmp_path / "again", pair.folder))
    assert ours.keys() == saved.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in saved.items())
    assert Reference.from_pretrained(tmp_path / "again")


def test_its_stages_count_what_pytorch_counts(pair: Pair) -> None:
    model = pair.ours()
    for frames in (57, 7, 40):
        work = Work(height=24, width=60, frames=1, seconds=frames / 100, tokens=30, written=4)
        _, hearing, reading, _ = model.spec.stages(work)
        counter = FlopCounterMode(display=False)
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), only("fused"), counter as heard:
            vectors = model.plain_module().hear(torch.rand(16, frames))
        assert hearing.operations == pytest.approx(heard.get_total_flops(), rel=0.02)
        assert vectors.shape[0] == model.spec.voiced(frames) and hearing.kept == vectors.numel()
        assert reading.operations > 0
        assert model.spec.taken(work)["sound"] == vectors.shape[0]


def test_what_cannot_be_heard_is_one_line(pair: Pair) -> None:
    model = pair.ours()
    for size, said in ((100, "0.01 s"), (2 * RATE + 1, "2.00 s")):
        part = {"type": "audio", "audio": np.zeros(size, dtype=np.float32)}
        with pytest.raises(SoundError, match=said):
            model.chat([{"role": "user", "content": [part]}])


# config.json as published, less keys without meaning here.
PUBLISHED: dict[str, Any] = {
    "architectures": ["Qwen2_5OmniModel"],
    "model_type": "qwen2_5_omni",
    "thinker_config": {
        "audio_config": {
            **{"d_model": 1280, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120},
            **{"encoder_layers": 32, "max_source_positions": 1500, "n_window": 100},
            **{"model_type": "qwen2_5_omni_audio_encoder", "num_mel_bins": 128},
            **{"output_dim": 3584, "scale_embedding": False},
        },
        **{"audio_end_token_id": 151648, "audio_start_token_id": 151647},
        **{"audio_token_index": 151646, "image_token_index": 151655},
        **{"model_type": "qwen2_5_omni_thinker", "position_id_per_seconds": 25},
        **{"seconds_per_chunk": 2, "video_token_index": 151656},
        "text_config": {
            **{"hidden_act": "silu", "hidden_size": 3584, "intermediate_size": 18944},
            **{"max_position_embeddings": 32768, "max_window_layers": 28},
            **{"model_type": "qwen2_5_omni_text", "num_attention_heads": 28},
            **{"num_hidden_layers": 28, "num_key_value_heads": 4, "rms_norm_eps": 1e-06},
            "rope_scaling": {
                **{"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"}
            },
            **{"rope_theta": 1000000.0, "sliding_window": 32768, "use_sliding_window": False},
            "vocab_size": 152064,
        },
        "vision_config": {
            **{"depth": 32, "embed_dim": 1280, "fullatt_block_indexes": [7, 15, 23, 31]},
            **{"hidden_act": "silu", "hidden_size": 1280, "in_channels": 3, "in_chans": 3},
            **{"intermediate_size": 3420, "model_type": "qwen2_5_omni_vision_encoder"},
            **{"num_heads": 16, "out_hidden_size": 3584, "patch_size": 14},
            **{"spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2},
            **{"tokens_per_second": 25, "window_size": 112},
        },
    },
}


def test_the_published_model_has_the_published_size() -> None:
    """Of the thinker, which reads, sees, hears and writes; what speaks is not counted."""
    spec = published_spec(PUBLISHED)
    assert isinstance(spec, Omni)
    assert count(spec) == 8_931_813_888
    assert spec.voiced(1000) == 250  # of ten seconds
    assert spec.about.model_class == "LMM"
    assert published_spec(PUBLISHED["thinker_config"]) == spec


@pytest.mark.parametrize(
    ("part", "changed", "said"),
    [
        ("audio_config", {"output_dim": 40}, "gives 40"),
        ("audio_config", {"n_window": 5}, "even"),
        ("vision_config", {"out_hidden_size": 40}, "gives 40"),
        ("text_config", {"num_attention_heads": 0}, "num_attention_heads"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused(
    part: str, changed: Mapping[str, object], said: str
) -> None:
    own = {"vision_config": VISION, "audio_config": AUDIO, "text_config": TEXT}
    config = {"model_type": "qwen2_5_omni_thinker", **own}
    assert published_spec(config)
    with pytest.raises(ConfigError, match=said):
        published_spec({**config, part: {**own[part], **changed}})
