"""The memory of a process without a model, measured in a process of its own.

An interpreter that has imported torch and this library holds a few hundred megabytes; kernels
bring their code, threads and buffers as they are first used. Both differ from machine to machine,
so they are measured once where the model will run (`planning.probe` keeps them).
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

PATIENCE = 120.0  # seconds that the process may take; it needs two or three

# What the process runs: import as `library.open` does, look; use each kind of kernel in each
# type on a few numbers, look again. Its output is two counts of bytes.
_SCRIPT = """
import json, sys
import torch
from torch.nn import functional
from fathom import library
from fathom.generation import generate
from fathom.residency.allocation import hold_what_is_alive
from fathom.planning.memory_watch import settled

torch.set_num_threads(int(sys.argv[1]))
idle = settled()
hold_what_is_alive()
import tokenizers, jinja2
from fathom.residency import resident
from fathom.checkpoint import tensors
with torch.inference_mode():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        x = torch.ones(512, 2048, dtype=dtype)
        weight = torch.ones(4096, 2048, dtype=dtype)  # packing buffers grow up to a bound
        for rows in (512, 64, 1):
            functional.linear(x[:rows], weight)
        del weight
        x = x[:, :256].contiguous()
        heads = x.view(1, 4, 128, 256)
        functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        functional.rms_norm(x.float(), (256,), None, 1e-5), functional.silu(x), functional.gelu(x)
        torch.cat((x, x)).float().softmax(-1).cos().sort()
        torch.zeros(512, 256, dtype=dtype)[:, :1] = x[:, :1]
print(json.dumps([idle, settled() - idle]))
"""


@dataclass(frozen=True, slots=True)
class Idle:
    """Bytes of an idle process, and what working kernels add to it."""

    process: int
    code: int


def measure_idle(threads: int) -> Idle | None:
    """Measure now, with so many threads; None where no process can be started for it."""
    command = [sys.executable, "-c", _SCRIPT, str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        process, code = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # the usual figures have to do, which `planning.predict` has
    return Idle(int(process), max(0, int(code)))
