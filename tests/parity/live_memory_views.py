"""What models that see and write hold at their peak, in a process that did nothing else before.

Runs as a program in `tests/`: `python -m parity.live_memory_views KIND` prints, for each stage of
the kind, the bytes of all weights, those that it states, and those that it held.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fathom.checkpoint.published import published_spec
from fathom.generation.state import ContiguousState
from fathom.models.assemble import assemble
from fathom.residency.allocation import hold_what_is_alive
from fathom.spec.vision_language import VisionLanguage
from fathom.spec.work import Work
from parity.live_memory import growth

# As wide as published ones, and less deep; the picture that each is shown.
MODELS: Mapping[str, tuple[Mapping[str, Any], tuple[int, int]]] = {
    "in tiles": (
        {
            **{"model_type": "idefics3", "scale_factor": 4, "image_token_id": 90},
            "vision_config": {
                **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 1},
                **{"num_attention_heads": 12, "image_size": 512, "patch_size": 16},
            },
            "text_config": {
                **{"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536},
                **{"num_hidden_layers": 2, "num_attention_heads": 9, "num_key_value_heads": 3},
                "vocab_size": 8000,
            },
        },
        (100, 640),  # four tiles and the whole
    ),
    "at its own size": (
        {
            **{"model_type": "qwen2_5_vl", "hidden_size": 1024, "intermediate_size": 2816},
            **{"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2},
            **{"vocab_size": 8000, "image_token_id": 90, "video_token_id": 91},
            "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "vision_config": {
                **{"depth": 2, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
                **{"out_hidden_size": 1024, "fullatt_block_indexes": [1]},
            },
        },
        (560, 756),
    ),
}
TOKENS = 1024


def passes(module: Any, spec: VisionLanguage, size: tuple[int, int]) -> list[Callable[[], Any]]:
    """Return what runs looking and reading, with all that each makes."""
    shown, frames = spec.sizing.shown(*size), spec.vision.embedding.frames
    prompt = torch.ones(1, TOKENS + spec.places(*size), dtype=torch.long)

    def look() -> torch.Tensor:
        pixels = torch.rand(shown.count, 3, shown.height, shown.width)
        moving = pixels[:, :, None].expand(-1, -1, frames, -1, -1) if frames > 1 else pixels
        seen: torch.Tensor = module.look(moving)
        return seen

    def read() -> torch.Tensor:
        state = ContiguousState(
            spec.decoder, batch=1, capacity=prompt.shape[1], dtype=torch.float32
        )
        step = state.advance(prompt.shape[1])
        scores: torch.Tensor = module.decoder.scores(
            module.decoder.hidden(prompt, step=step, state=state)[:, -1]
        )
        return scores

    return [look, read]


@torch.inference_mode()
def main(kind: str) -> None:
    """Print what looking and reading state beside what they held."""
    hold_what_is_alive()
    torch.set_num_threads(2)  # what convolutions take for themselves depends on their number
    config, size = MODELS[kind]
    spec = published_spec(config)
    assert isinstance(spec, VisionLanguage)
    module = assemble(spec).to_empty(device="cpu").eval()
    for parameter in module.parameters():
        parameter.normal_(0, 0.02)
    weights = sum(parameter.nbytes for parameter in module.parameters())
    work = Work(height=size[0], width=size[1], frames=1, tokens=TOKENS, written=0)
    for stage, run in zip(spec.stages(work)[:2], passes(module, spec, size), strict=True):
        print(weights, 4 * (stage.live + stage.kept), growth(run))  # noqa: T201  # its output


if __name__ == "__main__":
    main(sys.argv[1])
