"""What parts of pipelines hold at their peak, measured in a process that did nothing else before.

`python live_memory.py KIND` prints a line for each stage of the kind, in bytes: what its spec
states, and what a pass held. The heap of a process that ran other models has free pages that a
pass fills without growing, so this is a program of its own.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fathom.blocks.pyramid import channels_last
from fathom.checkpoint.published import published_spec
from fathom.models.assemble import assemble
from fathom.residency.allocation import hold_what_is_alive
from fathom.spec.work import Work

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Neither tiny nor large: planes of some megabytes, so that what else is held is little beside.
PARTS: Mapping[str, Mapping[str, Any]] = {
    "AutoencoderKL": {
        "block_out_channels": [64, 128],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "mid_block_add_attention": False,
    },
    "AutoencoderTiny": {},
    "UNet2DConditionModel": {
        "block_out_channels": [160, 320, 640, 640],
        "cross_attention_dim": 768,
    },
    "SD3Transformer2DModel": {
        "caption_projection_dim": 768,
        "num_attention_heads": 12,
        "num_layers": 4,
        "joint_attention_dim": 1024,
        "pooled_projection_dim": 512,
    },
}
SIZES = {"AutoencoderKL": 256, "AutoencoderTiny": 256}
TOKENS = 77


def status(key: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def growth(run: Callable[[], object]) -> int:
    """Return the bytes that a pass holds at its peak: the lesser of two, as chance only adds."""

    def once() -> int:
        gc.collect()
        REFERENCES.write_text("5")  # the peak counts from here
        before = status("VmRSS")
        run()
        return status("VmHWM") - before

    run()  # what the first one keeps for all
    return min(once() for _ in range(2))


def passes(module: Any, kind: str, size: int) -> list[Callable[[], Any]]:
    """Return what runs each stage, in the order of the spec's."""
    spec = module.spec
    if kind.startswith("Autoencoder"):
        picture = torch.randn(1, 3, size, size)
        latents = torch.randn(1, spec.latents, size // spec.factor, size // spec.factor)
        return [lambda: module.encode(picture), lambda: module.decode(latents)]
    planes = torch.randn(1, spec.channels, size, size)
    prompt, moments = torch.randn(1, TOKENS, spec.text_width), torch.tensor([5.0])
    told = {"vector": torch.randn(1, 512)} if kind == "SD3Transformer2DModel" else {}
    return [lambda: module(planes, moments, prompt, **told)]


@torch.inference_mode()
def main(kind: str) -> None:
    """Print what each stage of the kind states beside what it held."""
    hold_what_is_alive()
    torch.set_num_threads(2)  # what convolutions take for themselves depends on their number
    spec = published_spec({"_class_name": kind, **PARTS[kind]})
    module = channels_last(assemble(spec).to_empty(device="cpu")).eval()
    for parameter in module.parameters():
        parameter.normal_(0, 0.02)
    size = SIZES.get(kind, 64)
    work = Work(height=size, width=size, tokens=TOKENS)
    for stage, run in zip(spec.stages(work), passes(module, kind, size), strict=True):
        print(4 * stage.live, growth(run))  # noqa: T201  # a program's output


if __name__ == "__main__":
    main(sys.argv[1])
