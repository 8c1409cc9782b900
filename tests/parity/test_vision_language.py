"""Models that see and write against the reference: scores, what is seen, names, operations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPImageProcessor

from fathom import library
from fathom.checkpoint.published import published_spec
from fathom.errors import PictureError, RequestError, UnsupportedTaskError
from fathom.ops.choose import only
from fathom.spec.parts import count
from fathom.spec.work import Work
from parity.cases_vision_language import (
    BYTES,
    CASES,
    CONTROL,
    PLACEHOLDER,
    TEMPLATE,
    Case,
)
from parity.conftest import Measured
from parity.labelled import case_id
from parity.speech_case import byte_alphabet_ids
from parity.test_decoders import relative_error

PIXELS = torch.linspace(-2, 2, 2 * 3 * 32 * 32).sin().reshape(2, 3, 32, 32)


def prompts(places: int) -> torch.Tensor:
    """Return two prompts in which a picture stands, at other places in each."""
    seen = [PLACEHOLDER] * places
    rows = [[1, 5, *seen, 9, 7, 3], [2, 8, 4, 6, *seen, 11]]
    return torch.tensor(rows)


@pytest.fixture(scope="module", params=CASES)
def label(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(label: str, tmp_path_factory: pytest.TempPathFactory):
    case: Case = CASES[label]
    torch.manual_seed(0)
    made = getattr(transformers, f"{case.architecture}Config")
    config = made(**case.config, image_token_id=PLACEHOLDER, image_token_index=PLACEHOLDER)
    kind = getattr(transformers, f"{case.architecture}ForConditionalGeneration")
    theirs = kind(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("model") / "saved"
    theirs.generation_config.eos_token_id = BYTES + CONTROL.index("</s>")
    theirs.generation_config.pad_token_id = 0
    theirs.save_pretrained(folder)
    save_beside(folder)
    return case, theirs, folder


def save_beside(folder: Path) -> None:
    """Save a tokenizer of single bytes, a template, and how pictures are prepared."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(byte_alphabet_ids(), []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(CONTROL))
    backend.save(str(folder / "tokenizer.json"))
    stated = {"eos_token": "</s>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    seeing = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(seeing))


def pictures() -> list[Image.Image]:
    """Return two pictures of different sizes."""
    made = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    return [Image.fromarray(made[0]), Image.fromarray(made[1, :40, :33])]


def test_answers_are_the_references(pair) -> None:
    """From the pictures themselves to the tokens of the answer."""
    case, theirs, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    parts = [{"type": "image", "image": picture} for picture in pictures()]
    said = {"type": "text", "text": "What is <image>?"}  # what a user types is text
    answer = model.chat([{"role": "user", "content": [*parts, said]}], max_tokens=10)
    text = "".join(map(str, answer))

    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    pixels = processor(pictures(), return_tensors="pt")["pixel_values"]
    turn, end = BYTES + CONTROL.index("<turn>"), BYTES + CONTROL.index("</s>")
    seen = [*[PLACEHOLDER] * case.places, 10]
    prompt = [turn, *b"user: ", *seen, *seen, *b"What is <image>?", end, turn, *b"assistant: "]
    with torch.inference_mode():
        expected = theirs.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            pixel_values=pixels,
            max_new_tokens=10,
            do_sample=False,
        )[0, len(prompt) :].tolist()
    assert answer.usage.prompt_tokens == len(prompt)
    wanted = [token for token in expected if token != end]
    assert text == model.tokenizer.decode(wanted)
    again = model.generate("<image>" * 2, pictures(), max_tokens=3)
    assert len(list(again)) <= 4


def test_what_makes_no_sense_is_one_line(pair, tmp_path: Path) -> None:
    _, _, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    asked = {
        "no picture in it": ([{"type": "image"}], RequestError, "needs its picture"),
        "broken": ([{"type": "image", "path": str(tmp_path / "broken.jpg")}], PictureError, "jpg"),
    }
    for parts, kind, word in asked.values():
        with pytest.raises(kind, match=word):
            model.chat([{"role": "user", "content": parts}])
    with pytest.raises(RequestError, match="2 places for 1"):
        model.generate("<image><image>", pictures()[:1])
    with pytest.raises(UnsupportedTaskError, match="class is VLM"):
        model.transcribe("talk.wav")


PUBLISHED = {  # config.json as published, less keys without meaning here
    "model_type": "llava",
    **{"image_token_index": 32000, "projector_hidden_act": "gelu"},
    "text_config": {
        **{"max_position_embeddings": 4096, "model_type": "llama"},
        **{"rms_norm_eps": 1e-05, "vocab_size": 32064},
    },
    "vision_config": {
        **{"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096},
        **{"model_type": "clip_vision_model", "num_attention_heads": 16},
        **{"num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768},
    },
    **{"vision_feature_layer": -2, "vision_feature_select_strategy": "default"},
}


def test_the_published_model_has_the_published_size() -> None:
    spec = published_spec(PUBLISHED)
    assert count(spec) == 7_063_427_072
    assert spec.places(336, 336) == 576


def test_scores_equal_the_reference(pair, label: str, measured: Measured) -> None:
    case, theirs, folder = pair
    tokens = prompts(case.places)
    model = library.open(str(folder), dtype="float32", device="cpu")
    with torch.inference_mode():
        expected = theirs(input_ids=tokens, pixel_values=PIXELS).logits
        seeing = relative_error(model.module(tokens, PIXELS), expected)
        plain = tokens.where(tokens != PLACEHOLDER, 12)
        reading = relative_error(model.module(plain), theirs(input_ids=plain).logits)
    assert measured(case_id("llava", label), model.spec, max(seeing, reading)) < 1e-4


def test_saved_it_has_the_references_names_again(pair, tmp_path: Path) -> None:
    case, theirs, folder = pair
    library.open(str(folder), device="cpu").save(tmp_path / "again")
    ours, saved = (load_file(at / "model.safetensors") for at in (tmp_path / "again", folder))
    assert ours.keys() == saved.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in saved.items())
    again = type(theirs).from_pretrained(tmp_path / "again").eval()
    tokens = prompts(case.places)
    with torch.inference_mode():
        found = again(input_ids=tokens, pixel_values=PIXELS).logits
        assert torch.equal(found, theirs(input_ids=tokens, pixel_values=PIXELS).logits)


def test_its_stages_count_what_pytorch_counts(pair) -> None:
    case, _, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    tokens = prompts(case.places)
    work = Work(
        batch=2, height=32, width=32, frames=1, tokens=tokens.shape[1] - case.places, written=0
    )
    assert model.spec.places(32, 32) == case.places
    looking, reading, _ = model.spec.stages(work)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), only("fused"):
        with FlopCounterMode(display=False) as seen:
            model.plain_module().look(PIXELS)
        with FlopCounterMode(display=False) as read:
            model.module.decoder.scores(model.module.decoder.hidden(tokens)[:, -1])
    assert looking.operations == pytest.approx(seen.get_total_flops(), rel=0.02)
    # The reference path multiplies with keys that a mask hides; the statement leaves them out.
    assert reading.operations == pytest.approx(read.get_total_flops(), rel=0.08)
