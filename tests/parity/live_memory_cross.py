"""What looking beside a text holds at its peak, in a process that did nothing else before.

Runs as a program in `tests/`: `python -m parity.live_memory_cross` prints, for each size of a
picture, the bytes that looking at it states, and those that it held.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from fathom.checkpoint.published import published_spec
from fathom.models.assemble import assemble
from fathom.residency.allocation import hold_what_is_alive
from fathom.spec.work import Work
from parity.cases_cross_vision import TEXT
from parity.live_memory import growth

NEITHER_TINY_NOR_LARGE = {
    **{"hidden_size": 512, "num_hidden_layers": 2, "num_global_layers": 1, "image_size": 280},
    **{"attention_heads": 8, "intermediate_size": 2048, "intermediate_layers_indices": [0, 1]},
}
SIZES = ((560, 560), (200, 260))


@torch.inference_mode()
def main() -> None:
    """Print what looking states beside what it held, with the picture that it is given."""
    hold_what_is_alive()
    torch.set_num_threads(2)  # what products take for themselves depends on their number
    config = {"model_type": "mllama", "vision_config": NEITHER_TINY_NOR_LARGE, "text_config": TEXT}
    spec: Any = published_spec(config)
    module: Any = assemble(spec).to_empty(device="cpu").eval()
    for parameter in module.parameters():
        parameter.normal_(0, 0.02)
    for height, width in SIZES:
        rows, columns = spec.vision.arranged(height, width)
        pixels = torch.randn(rows * columns, 3, 280, 280)
        held = growth(partial(module.look, pixels, (rows, columns))) + pixels.nbytes
        (looking, *_) = spec.stages(Work(height=height, width=width, frames=1))
        print(4 * looking.live, held)  # noqa: T201  # its output


if __name__ == "__main__":
    main()
