"""How long loading takes and how much memory, beside transformers: one fresh process per round.

    .venv/bin/python benchmarks/loading.py            # writes docs/loading.md
    .venv/bin/python benchmarks/loading.py --rounds 3 --megabytes 200 --print

Models are random and of one size, written once to a temporary folder and read once before the
first round, so that both find their files in the page cache. A model is loaded once each page of
its weights was looked at: one that is only mapped has them still to read. Rounds take turns, ours
and theirs; a ratio is of two neighbours, so that what else the machine does falls on both. Imports
are not counted: they are the same torch for both. Memory is the peak of the process beyond what it
held before loading, by the size of the model in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "loading.md"
WIDTH, LAYERS, VOCABULARY = 1024, 24, 16_384
ROUNDS = 7

# Format → the type that both compute in afterwards.
FORMATS: Mapping[str, str] = {
    "safetensors bf16": "bfloat16",
    "safetensors float32": "float32",
    "safetensors bf16 → float32": "float32",
    "GGUF Q8_0": "float32",
    "GGUF Q4_0": "float32",
}

CHILD = """\
import json, sys, time
side, path, dtype = sys.argv[1:]
import torch
def held(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
if side == "ours":
    from fathom import library
    from fathom.checkpoint import tensors
    from fathom.models import assemble
    from fathom.residency import resident
else:
    import transformers
    from transformers import AutoModelForCausalLM, LlamaForCausalLM
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
before = held("VmRSS")
begun = time.perf_counter()
if side == "ours":
    module = library.open(path, dtype=dtype, device="cpu").module
else:
    folder, _, file = path.rpartition("/") if path.endswith(".gguf") else (path, "", "")
    named = {"gguf_file": file} if file else {}
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), **named)
for parameter in module.parameters():  # each page once: a mapped file is not loaded before
    parameter.detach().view(-1)[:: 4096 // parameter.itemsize].sum()
seconds = time.perf_counter() - begun
peak = held("VmHWM") - before
unique = {p.data_ptr(): p.nbytes for p in module.parameters()}
print(json.dumps({"seconds": seconds, "peak": peak, "bytes": sum(unique.values())}))
"""


@dataclass(frozen=True)
class Round:
    """One process: seconds of loading, its peak and the model's own bytes."""

    seconds: float
    peak: int
    bytes: int


def main() -> None:
    """Measure every format and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=int, default=800, help="of the model in bfloat16")
    parser.add_argument("--print", action="store_true", help="print the page, write nothing")
    parser.add_argument("--only", help="formats that contain this text")
    args = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, dtype in FORMATS.items():
            if args.only and args.only not in name:
                continue
            path = WRITERS[name](Path(folder) / name.replace(" ", "-"), args.megabytes)
            pairs = measured(path, dtype, args.rounds)
            lines.append(row(name, stored(path), pairs))
            sys.stderr.write(lines[-1] + "\n")
    page = PREFACE.format(about=about(args.rounds), rows="\n".join(lines))
    if args.print:
        sys.stdout.write(page)
    else:
        PAGE.write_text(page)


def measured(path: Path, dtype: str, rounds: int) -> list[tuple[Round, Round]]:
    """Return (ours, theirs) of each round; the one that begins changes from round to round."""
    for file in files(path):
        file.read_bytes()  # into the page cache
    for side in ("ours", "theirs"):
        once(side, path, dtype)  # not counted: bytecode is written
    pairs = []
    for number in range(rounds):
        order = ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours")
        found = {side: once(side, path, dtype) for side in order}
        pairs.append((found["ours"], found["theirs"]))
    return pairs


def once(side: str, path: Path, dtype: str) -> Round:
    """Load once, in a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    environment["PYTHONPYCACHEPREFIX"] = str(path.parent / "bytecode")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, side, str(path), dtype],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{side} could not load {path.name}: {done.stderr[-2000:]}")
    return Round(**json.loads(done.stdout.splitlines()[-1]))


def row(name: str, size: int, pairs: list[tuple[Round, Round]]) -> str:
    """Return a line of the table."""
    ratios = sorted(ours.seconds / theirs.seconds for ours, theirs in pairs)
    per_gb = [[side.seconds / size * 1e9 for side in sides] for sides in zip(*pairs, strict=True)]
    memory = [[side.peak / side.bytes for side in sides] for sides in zip(*pairs, strict=True)]
    cells = [
        name,
        f"{size / 1e9:.2f} GB",
        *(f"{median(side):.2f} s" for side in per_gb),
        f"**{median(ratios):.2f}** ({ratios[0]:.2f} – {ratios[-1]:.2f})",
        *(f"{max(side):.2f}" for side in memory),
    ]
    return "| " + " | ".join(cells) + " |"


def files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob("*.safetensors"))


def stored(path: Path) -> int:
    """Bytes of the weights on disk."""
    return sum(file.stat().st_size for file in files(path))


def settings(megabytes: int) -> dict[str, object]:
    """Return a Llama's configuration of about so many megabytes in bfloat16."""
    layer = 2 * WIDTH * WIDTH + 2 * WIDTH * WIDTH // 4 + 3 * WIDTH * 4 * WIDTH
    layers = max(1, (megabytes * 500_000 - 2 * VOCABULARY * WIDTH) // layer)
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "rms_norm_eps": 1e-5,
    }


def in_safetensors(dtype: str) -> Callable[[Path, int], Path]:
    """Return what writes a folder with weights in a type."""

    def write(folder: Path, megabytes: int) -> Path:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(**settings(megabytes))
        with torch.device("meta"):
            model = LlamaForCausalLM(config)
        model = model.to(getattr(torch, dtype)).to_empty(device="cpu")
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
        model.save_pretrained(folder, max_shard_size="100GB")
        return folder

    return write


def in_gguf(encoding: str) -> Callable[[Path, int], Path]:
    """Return what writes a GGUF file whose matrices are stored in an encoding."""

    def write(stem: Path, megabytes: int) -> Path:
        import gguf
        import numpy as np

        stem.mkdir()
        file = stem / "model.gguf"
        config = settings(megabytes)
        writer = gguf.GGUFWriter(file, "llama")
        for add, key in GGUF_KEYS.items():
            getattr(writer, add)(config[key])
        writer.add_rope_dimension_count(WIDTH // 16)
        tokens = [f"t{number}" for number in range(VOCABULARY)]
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(tokens)
        writer.add_token_merges([])
        random = np.random.default_rng(1)
        kind = gguf.GGMLQuantizationType[encoding]
        for name, shape in gguf_tensors(int(str(config["num_hidden_layers"]))).items():
            values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
            if len(shape) == 1:
                writer.add_tensor(name, values)
            else:
                writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return file

    return write


GGUF_KEYS = {
    "add_context_length": "max_position_embeddings",
    "add_embedding_length": "hidden_size",
    "add_block_count": "num_hidden_layers",
    "add_feed_forward_length": "intermediate_size",
    "add_head_count": "num_attention_heads",
    "add_head_count_kv": "num_key_value_heads",
    "add_layer_norm_rms_eps": "rms_norm_eps",
    "add_vocab_size": "vocab_size",
}


def gguf_tensors(layers: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a Llama with their shapes, as ggml names them."""
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCABULARY, WIDTH),
        "output.weight": (VOCABULARY, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    parts = {
        "attn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH // 4, WIDTH),
        "attn_v": (WIDTH // 4, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (4 * WIDTH, WIDTH),
        "ffn_up": (4 * WIDTH, WIDTH),
        "ffn_down": (WIDTH, 4 * WIDTH),
    }
    for layer in range(layers):
        found |= {f"blk.{layer}.{name}.weight": shape for name, shape in parts.items()}
    return found


WRITERS: Mapping[str, Callable[[Path, int], Path]] = {
    "safetensors bf16": in_safetensors("bfloat16"),
    "safetensors float32": in_safetensors("float32"),
    "safetensors bf16 → float32": in_safetensors("bfloat16"),
    "GGUF Q8_0": in_gguf("Q8_0"),
    "GGUF Q4_0": in_gguf("Q4_0"),
}


def about(rounds: int) -> str:
    """Return the machine, the versions and the commit in a line."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "gguf"))
    cores = len(os.sched_getaffinity(0))
    return (
        f"{rounds} rounds, {cores} cores ({platform.machine()}), Python"
        f" {platform.python_version()}, {packages}, commit {commit}"
    )


PREFACE = """\
# Loading, beside transformers

Written by `benchmarks/loading.py`: {about}.

Seconds are per GB on disk, from a warm page cache until each page of the weights was looked at,
the median of the rounds. A ratio is ours by
theirs in the same round, with the least and the greatest; below 1 is faster. Memory is the
greatest peak of the process beyond what it held before, by the bytes of the model in memory: 1.00
is the model and nothing else.

Transformers leaves weights of the wanted type in their file. So does Fathom with float32. 16-bit
weights that lie across cache lines there are read into memory of their own, which takes longer
once: every product with them is then about a tenth quicker (AVX-512 BF16, one row).

| weights | on disk | ours, per GB | theirs, per GB | ratio | memory, ours | memory, theirs |
|---|---:|---:|---:|---|---:|---:|
{rows}
"""

if __name__ == "__main__":
    main()
