"""One row of models beyond text beside its reference library, here; started by staged.py.

Both hold the same random weights in the same type and take turns on one thread each. What counts is
the processor's time of that thread, which neighbours on the machine hardly change. Prints a line of
JSON: the seconds of each turn of ours and of theirs.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from staged_models import ROWS as MODELS

from fathom import library
from fathom.models.segmenter import ABSENT, INSIDE
from fathom.planning.stages import settled
from fathom.residency.allocation import hold_what_is_alive
from fathom.spec.work import Work
from fathom.tasks.loads import passes

Turn = Callable[[], object]
Sides = tuple[Turn, Turn]  # ours, theirs
SECONDS = 5.0  # that the rounds of a row may take together
ROUNDS = (3, 9)  # the fewest and the most
AT_HAND = {-3: 32 * 2**20, -1: 64 * 2**20}  # mallopt(3): from where arrays get pages, what stays
WRITTEN = 32  # tokens of the decoder's row
FEW, MANY = 4, 50  # steps of a consistency model, and of a usual one


def reference(kind: str, config: Mapping[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    """Make a random model of the reference library, save it, and return it."""
    import diffusers
    import transformers

    torch.manual_seed(0)
    if "model_type" in config:
        stated = {k: v for k, v in config.items() if k not in ("model_type", "architectures")}
        made = getattr(transformers, kind)
        model = made(made.config_class(**stated))
    else:
        stated = {k: v for k, v in config.items() if k != "_class_name"}
        model = getattr(diffusers, kind)(**stated).to(memory_format=torch.channels_last)
    model = model.eval().to(dtype)
    model.save_pretrained(folder)
    return model


def opened(row: str, kind: str, folder: Path, dtype: str) -> tuple[Any, Any]:
    """Return ours and theirs, of the same weights."""
    theirs = reference(kind, MODELS[row].config, folder, getattr(torch, dtype))
    ours = library.open(str(folder), dtype=dtype, device="cpu")
    torch.set_num_threads(1)  # which opening sets to all: threads that wait would be counted
    return ours, theirs


def vision(folder: Path, dtype: str) -> Sides:
    ours, theirs = opened("vit", "ViTForImageClassification", folder, dtype)
    pixels = torch.randn(2, 3, 224, 224).to(getattr(torch, dtype))
    return partial(ours.module, pixels), partial(theirs, pixels)


def vision_and_text(folder: Path, dtype: str) -> Sides:
    ours, theirs = opened("clip", "CLIPModel", folder, dtype)
    pixels = torch.randn(2, 3, 224, 224).to(getattr(torch, dtype))
    tokens = torch.randint(0, 49_000, (2, 77))
    tokens[:, -1] = 49_407
    return (
        partial(ours.module, pixels, tokens),
        partial(theirs, pixel_values=pixels, input_ids=tokens),
    )


def hearing(folder: Path, dtype: str) -> Sides:
    ours, theirs = opened("whisper", "WhisperForConditionalGeneration", folder, dtype)
    heard = torch.randn(1, 80, 3000).to(getattr(torch, dtype))
    return partial(ours.module.hear, heard), partial(theirs.model.encoder, heard)


def writing(folder: Path, dtype: str) -> Sides:
    """Tokens one by one, after a window of sound was heard; each side with its own cache.

    Ours is what `transcribe` writes with: no type is asked for, the file's own is computed in.
    """
    row, kind = "WhisperForConditionalGeneration", getattr(torch, dtype)
    theirs = reference(row, MODELS["whisper"].config, folder, kind)
    course = library.open(str(folder), device="cpu").writer.begin(rows=1, capacity=448, source=1500)
    torch.set_num_threads(1)
    hidden = torch.randn(1, 1500, 512).to(kind)
    tokens = torch.randint(0, 50_000, (1, WRITTEN))

    def write() -> None:
        course.hear(hidden)
        for token in tokens[0].tolist():
            course.scores([[token]])

    def their() -> None:
        cache = None
        for place in range(WRITTEN):
            out = theirs.model.decoder(
                input_ids=tokens[:, place : place + 1],
                encoder_hidden_states=hidden,
                past_key_values=cache,
                use_cache=True,
            )
            cache = out.past_key_values
            theirs.proj_out(out.last_hidden_state[:, -1])

    return write, their


def denoising(row: str, kind: str, folder: Path, dtype: str) -> Sides:
    ours, theirs = opened(row, kind, folder, dtype)
    run = passes(ours, settled(Work(), ours.spec.usual))["denoiser"]
    planes, moments, prompt = run.args  # type: ignore[attr-defined]
    told = run.keywords  # type: ignore[attr-defined]
    if "vector" in told:
        told = {"pooled_projections": told["vector"]}
    planes = planes.contiguous(memory_format=torch.channels_last)
    return run, partial(theirs, planes, encoder_hidden_states=prompt, timestep=moments, **told)


def decoding(folder: Path, dtype: str) -> Sides:
    ours, theirs = opened("autoencoder", "AutoencoderKL", folder, dtype)
    run = passes(ours, settled(Work(height=256, width=256), ours.spec.usual))["decoder"]
    latents = torch.randn(1, 4, 32, 32).to(getattr(torch, dtype))
    return run, partial(theirs.decode, latents)


def segmenting(prompts: bool, folder: Path, dtype: str) -> Sides:
    ours, theirs = opened("sam", "SamModel", folder, dtype)
    pixels = torch.randn(1, 3, 1024, 1024).to(getattr(torch, dtype))
    if not prompts:
        return partial(ours.module.seen, pixels), partial(theirs.get_image_embeddings, pixels)
    seen = ours.module.seen(pixels)
    place = torch.tensor([[[300.0, 400.0]]])
    points = torch.cat((place, torch.zeros(1, 1, 2)), dim=1)
    kinds = torch.tensor([[INSIDE, ABSENT]])
    kind = getattr(torch, dtype)
    return (
        partial(ours.module.answered, seen, points, kinds),
        partial(
            theirs,
            image_embeddings=seen,
            input_points=place[None].to(kind),
            input_labels=torch.tensor([[[1]]]),
        ),
    )


def detecting(folder: Path, dtype: str) -> Sides:
    ours, theirs = opened("grounding-dino", "GroundingDinoForObjectDetection", folder, dtype)
    pixels = torch.randn(1, 3, 480, 640).to(getattr(torch, dtype))
    tokens = torch.tensor([[101, 1037, 4937, 1012, 1037, 6556, 1012, 102]])
    return partial(ours.module, pixels, tokens), partial(
        theirs, pixel_values=pixels, input_ids=tokens
    )


WHAT: Mapping[str, Callable[[Path, str], Sides]] = {
    "vision tower": vision,
    "vision and text towers": vision_and_text,
    "whisper, a window heard": hearing,
    "whisper, tokens written": writing,
    "denoising step": partial(denoising, "unet", "UNet2DConditionModel"),
    "denoising step, transformer": partial(denoising, "sd3", "SD3Transformer2DModel"),
    "autoencoder, decoding": decoding,
    "segmenter, a picture": partial(segmenting, False),
    "segmenter, a prompt": partial(segmenting, True),
    "detector": detecting,
}
DTYPES = ("float32", "bfloat16")
UNFIT = {"detector bfloat16"}  # the reference samples planes in float32 alone
ROWS: Mapping[str, Sequence[str]] = {
    "speed": [
        f"{what} {dtype}" for what in WHAT for dtype in DTYPES if f"{what} {dtype}" not in UNFIT
    ],
    "steps": ["unet"],
}


def speed(row: str) -> dict[str, object]:
    """Return the seconds of both sides of a row, turn by turn."""
    what, _, dtype = row.rpartition(" ")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        ours, theirs = WHAT[what](Path(folder) / "model", dtype)
        sides = ours, partial(with_memory_at_hand, theirs)
        for side in sides:
            side()
        found: tuple[list[float], list[float]] = ([], [])
        begun = perf_counter()
        while len(found[0]) < ROUNDS[0] or (
            perf_counter() - begun < SECONDS and len(found[0]) < ROUNDS[1]
        ):
            for side, taken in zip(sides, found, strict=True):
                taken.append(seconds(side))
        return {"ours": found[0], "theirs": found[1]}


def steps(row: str) -> dict[str, object]:
    """Return the seconds of a few evaluations without guidance, and of many with it."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        small = {**MODELS[row].config, "block_out_channels": [64, 128, 256, 256], "sample_size": 32}
        path = Path(folder) / "model"
        reference("UNet2DConditionModel", small, path, torch.float32)
        ours = library.open(str(path), dtype="float32", device="cpu")
        alone = passes(ours, settled(Work(guided=False), ours.spec.usual))["denoiser"]
        guided = passes(ours, settled(Work(guided=True), ours.spec.usual))["denoiser"]
        alone(), guided()
        few = seconds(lambda: [alone() for _ in range(FEW)])
        many = seconds(lambda: [guided() for _ in range(MANY)])
        counted = [
            ours.spec.stages(settled(Work(guided=g, steps=s), ours.spec.usual))[0]
            for g, s in ((False, FEW), (True, MANY))
        ]
        operations = [stage.operations * stage.passes for stage in counted]
        return {"seconds": [few, many], "operations": operations}


def with_memory_at_hand(turn: Turn) -> None:
    """Take the peer's turn with the C library's own way of handing out memory, at its quickest.

    Ours gives memory back at once, so that a plan holds (`residency.allocation`), which costs time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, size in AT_HAND.items():
            mallopt(option, size)
    turn()
    hold_what_is_alive()


def seconds(turn: Turn) -> float:
    """Return the processor's time of a turn."""
    begun = process_time()
    turn()
    return process_time() - begun


def main() -> None:
    """Print what a row found."""
    part, row = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = "1"  # of native programs too: what waits would be counted
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(json.dumps(speed(row) if part == "speed" else steps(row)))


if __name__ == "__main__":
    main()
