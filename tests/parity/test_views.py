"""Models that see in tiles or at a picture's own size against the reference, from files on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from fathom import library
from fathom.blocks.state import Step
from fathom.cli.main import main
from fathom.errors import ContextLengthError, PictureError, UnsupportedTaskError
from fathom.generation.inserts import given_to, places_of, seen_by
from fathom.inputs.content import Medium, told_apart
from fathom.library.seeing import SeeingModel
from fathom.ops.choose import only
from fathom.spec.attention import Everything
from fathom.spec.picture_sizes import WHOLE
from fathom.spec.work import Work
from parity.cases_views import CASES, CONTROL, IDS, Case
from parity.conftest import Measured
from parity.labelled import case_id
from parity.speech_case import byte_alphabet_ids
from parity.test_decoders import relative_error

COLOURS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def pictures() -> list[Image.Image]:
    """Return two pictures of different sizes and proportions."""
    return [Image.fromarray(COLOURS[:24, :60]), Image.fromarray(COLOURS[20:, :41])]


def film() -> list[Image.Image]:
    """Return five frames, an odd number."""
    return [Image.fromarray(np.roll(COLOURS, shift, axis=0)[:28, :36]) for shift in range(5)]


@pytest.fixture(scope="module", params=CASES)
def label(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pair(label: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Any, Path]:
    case = CASES[label]
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(case.model_type, **case.config)
    made = transformers.AutoModelForImageTextToText.from_config
    theirs = made(config, attn_implementation="eager").eval()  # its fused one bounds no scores
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("model") / "saved"
    theirs.generation_config.eos_token_id = IDS["</s>"]
    theirs.generation_config.pad_token_id = IDS["<pad>"]
    theirs.save_pretrained(folder)
    save_beside(case, folder)
    return case, theirs, folder


def save_beside(case: Case, folder: Path) -> None:
    """Save a tokenizer of single bytes, a template, and how pictures are prepared."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(byte_alphabet_ids(), []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(CONTROL))
    backend.save(str(folder / "tokenizer.json"))
    stated = {"eos_token": "</s>"} | ({"chat_template": case.template} if case.template else {})
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    (folder / "preprocessor_config.json").write_text(json.dumps(case.preparing))
    if case.videos:
        sizes = {name: case.preparing[name] for name in ("min_pixels", "max_pixels")}
        (folder / "video_preprocessor_config.json").write_text(json.dumps(sizes))


class Theirs:
    """The reference's own processors, and the prompt that it makes of a conversation."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        kind = str(case.preparing["image_processor_type"])
        options = {key: value for key, value in case.preparing.items() if key[:5] != "image"}
        self.seeing = getattr(transformers, kind + "Pil")(**options)
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>"
        )
        self.tokenizer = tokenizer

    def prompt(self, said: str, shown: Sequence[Image.Image], moving: bool) -> dict[str, Tensor]:
        """Return what the model is given for pictures, then a video, then what is said."""
        given: dict[str, Tensor] = {}
        opening, closing = "<turn>user: ", [IDS["</s>"], IDS["<turn>"], *b"assistant: "]
        if self.case.in_tiles:
            text = opening + self._in_tiles(given, shown)
        elif self.case.videos:
            text = opening + self._at_their_own(given, shown)
            text += "<video>" * self._moving(given) + self.case.after if moving else ""
        else:
            given["pixel_values"] = self.seeing(list(shown), return_tensors="pt")["pixel_values"]
            text, closing = self._as_one(opening, len(shown), closing)
        ids = [*self.tokenizer(text)["input_ids"], *said.encode(), *closing]  # said is text alone
        given["input_ids"] = torch.tensor([ids])
        given["attention_mask"] = torch.ones_like(given["input_ids"])
        if "pixel_attention_mask" not in given:
            given |= self._kinds(ids)
        return given

    def _kinds(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """Return which tokens are of pictures and of videos, as the reference wants it said."""
        types = {IDS["<image>"]: 1, IDS["<image_soft_token>"]: 1, IDS["<video>"]: 2}
        if self.case.model_type == "paligemma":
            types = {}  # all see all
        kinds = torch.tensor([[types.get(token, 0) for token in ids]])
        return {"mm_token_type_ids" if self.case.videos else "token_type_ids": kinds}

    def _as_one(self, opening: str, count: int, closing: list[int]) -> tuple[str, list[int]]:
        if self.case.model_type == "paligemma":
            return "<image>" * 16 * count + "<bos>", [*b"\n"]
        places = "<image_soft_token>" * int(self.case.config["mm_tokens_per_image"])
        return opening + f"\n\n<start_of_image>{places}<end_of_image>\n\n" * count, closing

    def _at_their_own(self, given: dict[str, Tensor], shown: Sequence[Image.Image]) -> str:
        text = ""
        for one in shown:
            seen = self.seeing([one], return_tensors="pt")
            join(given, "pixel_values", seen["pixel_values"])
            join(given, "image_grid_thw", seen["image_grid_thw"])
            text += "<image>" * (int(seen["image_grid_thw"].prod()) // 4) + self.case.after
        return text

    def _in_tiles(self, given: dict[str, Tensor], shown: Sequence[Image.Image]) -> str:
        seen = self.seeing([list(shown)], return_tensors="pt", return_row_col_info=True)
        given |= {name: seen[name] for name in ("pixel_values", "pixel_attention_mask")}
        return "".join(
            get_image_prompt_string(
                rows,
                columns,
                seen_places(self.case),
                fake_token_around_image="<fake_token_around_image>",
                image_token="<image>",
                global_image_token="<global-img>",
            )
            for rows, columns in zip(seen["rows"][0], seen["cols"][0], strict=True)
        )

    def _moving(self, given: dict[str, Tensor]) -> int:
        """Add a video: frames as pictures, of which every two are one in time."""
        frames = film()
        frames.append(frames[-1])
        seen = [self.seeing([frame], return_tensors="pt") for frame in frames]
        grid = seen[0]["image_grid_thw"][0]
        each = [one["pixel_values"].unflatten(1, (3, 2, 4, 4))[:, :, 0] for one in seen]
        groups = [
            torch.stack(two, dim=2).flatten(1) for two in zip(each[::2], each[1::2], strict=True)
        ]
        given["pixel_values_videos"] = torch.cat(groups)
        given["video_grid_thw"] = torch.tensor([[len(groups), int(grid[1]), int(grid[2])]])
        if self.case.model_type == "qwen2_5_vl":
            given["second_per_grid_ts"] = torch.tensor([1.0])
        return int(given["video_grid_thw"].prod()) // 4


def join(given: dict[str, Tensor], name: str, more: Tensor) -> None:
    given[name] = torch.cat([given[name], more]) if name in given else more


def seen_places(case: Case) -> int:
    """Return the vectors of one tile of 32 × 32 pixels in patches of 8."""
    return 16 // int(case.config.get("scale_factor", 2)) ** 2


def conversation(moving: bool) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = [{"type": "image", "image": one} for one in pictures()]
    if moving:
        parts.append({"type": "video", "video": film()})
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What <image>?"}]}]


def test_answers_are_the_references(pair) -> None:
    """From pictures and a video to the tokens of the answer, with positions kept while writing."""
    case, theirs, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    answer = model.chat(conversation(case.videos), max_tokens=8)
    list(answer)
    given = Theirs(case, folder).prompt("What <image>?", pictures(), case.videos)
    with torch.inference_mode():
        found = theirs.generate(**given, max_new_tokens=8, do_sample=False)
    length = given["input_ids"].shape[1]
    assert answer.usage.prompt_tokens == length
    assert list(answer.tokens) == found[0, length:].tolist()


def scores(model: SeeingModel, ids: Sequence[int], media: Sequence[Medium]) -> Tensor:
    """Return the scores at every place of a prompt."""
    prompt, inserts = model._composed(ids, media)
    row = torch.tensor([prompt])
    step = Step.dense(1, 0, len(prompt), row.device).at(places_of(inserts, 0, len(prompt)))
    step = step.seeing(*(seen_by(inserts, 0, len(prompt)) or (None, None)))
    with torch.inference_mode():
        scored: Tensor = model.module.decoder(row, step=step, given=given_to(row, inserts, 0))
    return scored


def test_scores_equal_the_reference(pair, label: str, measured: Measured) -> None:
    case, theirs, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    shown, media = told_apart(conversation(case.videos))
    found = scores(model, model._encoded(shown), media)
    given = Theirs(case, folder).prompt("What <image>?", pictures(), case.videos)
    with torch.inference_mode():
        expected = theirs(**given).logits
        plain = torch.tensor([model.tokenizer.encode("no picture at all")])
        ordered = {"token_type_ids": torch.ones_like(plain)} if case.template is None else {}
        reading = relative_error(model.module(plain), theirs(input_ids=plain, **ordered).logits)
    seeing = relative_error(found, expected)
    assert measured(case_id(case.model_type, label), model.spec, max(seeing, reading)) < 1e-4


def test_saved_it_has_the_references_names_again(pair, tmp_path: Path) -> None:
    _, theirs, folder = pair
    library.open(str(folder), device="cpu").save(tmp_path / "again")
    ours, saved = (load_file(at / "model.safetensors") for at in (tmp_path / "again", folder))
    assert ours.keys() == saved.keys()
    for name, tensor in saved.items():  # norms of some are kept as their distance from one
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=0)
    opened = type(theirs).from_pretrained
    again = opened(tmp_path / "again", attn_implementation="eager").eval()
    tokens = torch.tensor([[5, 9, 2]])
    with torch.inference_mode():
        expected = theirs(input_ids=tokens).logits
        assert relative_error(again(input_ids=tokens).logits, expected) < 1e-5


def test_its_stages_count_what_pytorch_counts(pair) -> None:
    _, _, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    module, spec = model.plain_module(), model.spec
    height, width = spec.vision.picture
    if spec.sizing != WHOLE:  # as the file beside the weights says
        height, width, spec = 60, 41, replace(spec, sizing=model._views.rule)
    work = Work(height=height, width=width, frames=1, tokens=30, written=0)
    shown = spec.sizing.shown(height, width)
    looking, reading, _ = spec.stages(work)
    frames = spec.vision.embedding.frames
    size = (shown.count, 3, *((frames,) if frames > 1 else ()), shown.height, shown.width)
    prompt = torch.ones(1, 30 + spec.places(height, width), dtype=torch.long)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), only("fused"):
        with FlopCounterMode(display=False) as seen:
            vectors = module.look(torch.rand(size))
        with FlopCounterMode(display=False) as read:
            module.decoder.scores(module.decoder.hidden(prompt)[:, -1])
    assert vectors.shape[:2].numel() == spec.places(height, width)
    assert looking.kept == vectors.numel()
    assert looking.operations == pytest.approx(seen.get_total_flops(), rel=0.02)
    # The reference path multiplies with keys that a mask hides; the statement leaves them out.
    length, layers = prompt.numel(), spec.decoder.layers
    hidden = length * sum(
        replace(one.mixer, reach=Everything()).operations(length)
        - one.operations((length + 1) // 2)
        for one in layers
    )
    assert reading.operations + hidden == pytest.approx(read.get_total_flops(), rel=0.02)


def test_what_is_taken_of_a_prompt_is_said(pair, tmp_path: Path, capsys) -> None:
    _, _, folder = pair
    for verb in ("explain", "fit"):
        assert main([verb, str(folder), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        told = said["notes"] if verb == "explain" else said["assumptions"]
        assert any("a picture takes" in note and "tokens of the prompt" in note for note in told)


def test_what_it_does_not_take_is_refused(pair, tmp_path: Path) -> None:
    case, _, folder = pair
    model = library.open(str(folder), dtype="float32", device="cpu")
    said = {"type": "text", "text": "What?"}
    with pytest.raises(UnsupportedTaskError, match="no sound"):
        model.chat([{"role": "user", "content": [{"type": "audio", "audio": "a.wav"}, said]}])
    film_of_many = {"type": "video", "video": film() * 120}
    kind = ContextLengthError if case.videos else UnsupportedTaskError
    with pytest.raises(kind, match="600 frames" if case.videos else "no video"):
        model.chat([{"role": "user", "content": [film_of_many, said]}])
    if case.videos:
        thin = np.zeros((1, 300, 3), dtype=np.uint8)
        with pytest.raises(PictureError, match="too narrow"):
            model.chat([{"role": "user", "content": [{"type": "image", "image": thin}, said]}])


def test_it_runs_from_files(pair, tmp_path: Path, capsys) -> None:
    """`fathom run MODEL photo.png "…"`; a picture that moves is a video where those are taken."""
    case, _, folder = pair
    pictures()[0].save(tmp_path / "photo.png")
    first, *rest = film()
    first.save(tmp_path / "film.gif", save_all=True, append_images=rest, duration=500)
    model = library.open(str(folder), device="cpu")
    for name, kind in (("photo.png", "image"), ("film.gif", "video" if case.videos else "image")):
        file = str(tmp_path / name)
        words = ["run", str(folder), file, "What?", "--max-tokens", "2", "--no-record", "--json"]
        assert main(words) == 0
        said = json.loads(capsys.readouterr().out)
        part = {"type": kind, kind: file}
        asked = [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}]
        expected = model.chat(asked, max_tokens=2)
        list(expected)
        assert said["usage"]["prompt_tokens"] == expected.usage.prompt_tokens
