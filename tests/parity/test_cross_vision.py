"""Models that look at pictures beside their text, against the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.mllama.processing_mllama import (
    convert_sparse_cross_attention_mask_to_dense as spread,
)
from transformers.models.mllama.processing_mllama import (
    get_cross_attention_token_mask as looking_ranges,
)

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import ConfigError, RequestError
from fathom.inputs.content import Medium
from fathom.inputs.picture_canvas import PictureCanvas
from fathom.inputs.pictures import read_picture
from fathom.ops.choose import only
from fathom.spec.parts import count
from fathom.spec.work import Work
from parity.cases_cross_vision import CASES, TEXT, TOKEN, VISION
from parity.cases_vision_language import BYTES, CONTROL, TEMPLATE
from parity.conftest import Measured
from parity.labelled import case_id
from parity.test_decoders import relative_error
from parity.test_vision_language import save_beside

TURN, END = BYTES + CONTROL.index("<turn>"), BYTES + CONTROL.index("</s>")
PICTURE = "<|image|>"


def pictures() -> list[Image.Image]:
    """Return a broad picture, a tall one, and one smaller than a tile."""
    made = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    return [Image.fromarray(made[:h, :w]) for h, w in ((20, 90), (64, 40), (9, 12))]


@dataclass(frozen=True)
class Pair:
    theirs: Any
    folder: Path
    processor: Any

    def inputs(self, prompt: Sequence[int], seen: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Return what the reference is given, as its own processor makes it."""
        found = dict(self.processor([list(seen)], return_tensors="pt"))
        tiles = found.pop("num_tiles")
        ranges = looking_ranges(list(prompt), TOKEN)
        mask = spread([ranges], tiles, self.processor.max_image_tiles, len(prompt))
        return {
            "input_ids": torch.tensor([list(prompt)]),
            "attention_mask": torch.ones(1, len(prompt), dtype=torch.long),
            "cross_attention_mask": torch.from_numpy(mask),
            **found,
        }

    def ours(self) -> Any:
        return library.open(str(self.folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module", params=CASES)
def label(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(label: str, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    torch.manual_seed(0)
    config = transformers.MllamaConfig(**CASES[label], image_token_index=TOKEN)
    theirs = transformers.MllamaForConditionalGeneration(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("model") / "saved"
    theirs.generation_config.eos_token_id = END
    theirs.generation_config.pad_token_id = 0
    theirs.save_pretrained(folder)
    side, tiles = config.vision_config.image_size, config.vision_config.max_num_tiles
    processor = MllamaImageProcessorPil(
        size={"height": side, "width": side}, max_image_tiles=tiles, image_mean=[0.4, 0.5, 0.6]
    )
    save_beside(folder)
    name_picture_token(folder)
    stated = {"image_processor_type": "MllamaImageProcessor", "max_image_tiles": tiles}
    stated |= {"size": dict(processor.size), "image_mean": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return Pair(theirs, folder, processor)


def name_picture_token(folder: Path) -> None:
    """Give the token of a picture the number behind all that may be written, and a template."""
    import tokenizers

    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens([PICTURE])
    assert backend.token_to_id(PICTURE) == TOKEN
    backend.save(str(folder / "tokenizer.json"))
    stated = {"eos_token": "</s>", "chat_template": TEMPLATE.replace("<image>", PICTURE)}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))


def ours_of(model: Any, seen: Sequence[Image.Image]) -> list[tuple[Tensor, tuple[int, int]]]:
    canvas: PictureCanvas = model._canvas
    tiled = [canvas(read_picture(picture)) for picture in seen]
    return [(torch.from_numpy(one.values), one.arrangement) for one in tiled]


PROMPTS: Mapping[str, tuple[Sequence[int], int]] = {
    "one after some words": ([1, 5, TOKEN, 9, 7, 3], 1),
    "each until the next": ([TOKEN, 4, 6, TOKEN, 11, 8], 2),
    "two side by side, then another": ([2, TOKEN, TOKEN, 4, 6, TOKEN, 11], 3),
}


def test_scores_equal_the_reference(pair: Pair, label: str, measured: Measured) -> None:
    model = pair.ours()
    errors = []
    with torch.inference_mode():
        for prompt, number in PROMPTS.values():
            seen = pictures()[:number]
            expected = pair.theirs(**pair.inputs(prompt, seen)).logits
            found = model.module(torch.tensor([prompt]), ours_of(model, seen))
            errors.append(relative_error(found, expected))
        plain = torch.tensor([[1, 5, 9, 7, 3], [2, 8, 4, 6, 11]])
        expected = pair.theirs(input_ids=plain).logits
        errors.append(relative_error(model.module(plain), expected))
    assert measured(case_id("mllama", label), model.spec, max(errors)) < 1e-4


def test_a_chat_over_several_turns_is_the_references(pair: Pair) -> None:
    """The picture stands in the first turn; the second is answered from what is kept of it."""
    model, seen = pair.ours(), pictures()[:1]
    parts = [{"type": "image", "image": seen[0]}, {"type": "text", "text": "Hm?"}]
    prompt = [TURN, *b"user: ", TOKEN, 10, *b"Hm?", END, TURN, *b"assistant: "]
    first = model.chat([{"role": "user", "content": parts}], max_tokens=6)
    written = answered(pair, prompt, seen)
    assert "".join(map(str, first)) == model.tokenizer.decode(without_end(written))
    assert first.usage.prompt_tokens == len(prompt)
    assert (first.predicted.memory_bytes or 0) > count(model.spec)
    took = model.measured
    assert took.passes == {"vision": 1, "reading": 1, "writing": first.usage.completion_tokens - 1}
    assert took.seconds.keys() == took.passes.keys() and min(took.seconds.values()) > 0
    prompt += [*written, TURN, *b"user: So?", END, TURN, *b"assistant: "]
    second = model._begun(prompt, [Medium("image", seen[0])], {"max_tokens": 6})
    wanted = answered(pair, prompt, seen)
    assert "".join(map(str, second)) == model.tokenizer.decode(without_end(wanted))
    assert second.usage.reused_tokens > 20


def answered(pair: Pair, prompt: Sequence[int], seen: Sequence[Image.Image]) -> list[int]:
    """Return what the reference writes after a prompt."""
    with torch.inference_mode():
        found = pair.theirs.generate(**pair.inputs(prompt, seen), max_new_tokens=6, do_sample=False)
    written: list[int] = found[0, len(prompt) :].tolist()
    return written


def without_end(tokens: Sequence[int]) -> list[int]:
    return [token for token in tokens if token != END]


def test_another_picture_is_seen_by_what_was_said_before_it(pair: Pair) -> None:
    """Tokens before a picture look at it as well, so that an answer must not depend on the past."""
    model, (first, second) = pair.ours(), pictures()[:2]
    prompts = (f"ab{PICTURE}c", f"ab{PICTURE}cde{PICTURE}f")
    for text, several in zip(prompts, ([first], [first, second]), strict=True):
        continued = "".join(map(str, model.generate(text, several, max_tokens=4)))
    afresh = "".join(map(str, pair.ours().generate(prompts[1], [first, second], max_tokens=4)))
    assert continued == afresh
    with pytest.raises(RequestError, match="1 places for 2"):
        model.generate(prompts[0], [first, second])


def test_saved_it_has_the_references_names_again(pair: Pair, tmp_path: Path) -> None:
    pair.ours().save(tmp_path / "again")
    ours, saved = (load_file(at / "model.safetensors") for at in (tmp_path / "again", pair.folder))
    assert ours.keys() == saved.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in saved.items())
    assert type(pair.theirs).from_pretrained(tmp_path / "again")


def test_its_stages_count_what_pytorch_counts(pair: Pair) -> None:
    model = pair.ours()
    prompt = [*range(1, 200), TOKEN, *range(40)]
    for picture in pictures():
        ((pixels, arrangement),) = ours_of(model, [picture])
        size = Work(height=picture.height, width=picture.width, frames=1, tokens=239, written=8)
        looking, reading, writing = model.spec.stages(size)
        assert (looking.passes, writing.passes) == (1, 8)
        course = model._engine.forward.begin(256)
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), only("fused"):
            with FlopCounterMode(display=False) as seen:
                model.module.look(pixels, arrangement)
            course.inserts = inserts(model, picture, prompt.index(TOKEN))
            with FlopCounterMode(display=False) as read:
                course.scores(prompt)
            with FlopCounterMode(display=False) as written:
                course.scores([3])
        assert looking.operations == pytest.approx(seen.get_total_flops(), rel=0.02)
        # The reference path multiplies with keys that a mask hides; the statement leaves them out.
        rows, layers = len(prompt), model.spec.decoder.reading
        hidden = sum(rows * (one.operations(rows) - one.operations(rows // 2)) for one in layers)
        assert reading.operations + hidden == pytest.approx(read.get_total_flops(), rel=0.02)
        assert writing.operations == pytest.approx(written.get_total_flops(), rel=0.02)


def inserts(model: Any, picture: Image.Image, start: int) -> tuple[Any, ...]:
    with torch.inference_mode():
        (placed,) = model._placed([Medium("image", picture)])
    return tuple(placed.inserts(start))


# config.json as published, less keys without meaning here, and the parameters of the files.
INSTRUCT = {
    "architectures": ["MllamaForConditionalGeneration"],
    **{"image_token_index": 128256, "model_type": "mllama"},
    "text_config": {
        "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38],
        **{"hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336},
        **{"max_position_embeddings": 131072, "model_type": "mllama_text_model"},
        **{"num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8},
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            **{"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0},
            **{"original_max_position_embeddings": 8192, "rope_type": "llama3"},
        },
        **{"rope_theta": 500000.0, "tie_word_embeddings": False, "vocab_size": 128256},
    },
    "vision_config": {
        **{"attention_heads": 16, "hidden_act": "gelu", "hidden_size": 1280, "image_size": 560},
        **{"intermediate_layers_indices": [3, 7, 15, 23, 30], "intermediate_size": 5120},
        **{"max_num_tiles": 4, "model_type": "mllama_vision_model", "norm_eps": 1e-05},
        **{"num_channels": 3, "num_global_layers": 8, "num_hidden_layers": 32},
        "patch_size": 14,
        "supported_aspect_ratios": [
            *([1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]),
        ],
        "vision_output_dim": 7680,
    },
}
LARGE = {
    "cross_attention_layers": list(range(3, 100, 5)),
    **{"hidden_size": 8192, "intermediate_size": 28672},
    **{"num_attention_heads": 64, "num_hidden_layers": 100},
}
PUBLISHED: Mapping[str, tuple[Mapping[str, object], int]] = {
    "meta-llama/Llama-3.2-11B-Vision-Instruct": ({}, 10_670_220_835),
    "meta-llama/Llama-3.2-90B-Vision-Instruct": (LARGE, 88_593_355_323),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_model_has_the_published_size(name: str) -> None:
    text, parameters = PUBLISHED[name]
    stated: Any = {**INSTRUCT, "text_config": {**INSTRUCT["text_config"], **text}}  # type: ignore[dict-item]
    spec: Any = published_spec(stated)
    assert count(spec) == parameters
    assert spec.vision.length == 4 * 1601
    assert (spec.usual.height, spec.usual.width) == (1120, 1120)


@pytest.mark.parametrize(
    ("part", "changed", "said"),
    [
        ("vision_config", {"vision_output_dim": 100}, "give 96"),
        ("vision_config", {"supported_aspect_ratios": [[1, 1]]}, "all 8"),
        ("vision_config", {"intermediate_layers_indices": [2, 0]}, "in order"),
        ("vision_config", {"intermediate_layers_indices": [3]}, "from 0 to 2"),
        ("vision_config", {"attention_heads": 5}, "5 heads"),
        ("text_config", {"cross_attention_layers": [4]}, "no layer"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused(
    part: str, changed: Mapping[str, object], said: str
) -> None:
    config = {"model_type": "mllama", "vision_config": VISION, "text_config": TEXT}
    assert published_spec(config)
    own: Any = config[part]
    with pytest.raises(ConfigError, match=said):
        published_spec({**config, part: {**own, **changed}})
