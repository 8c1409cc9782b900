"""The figures of `benchmarks/cpu.py`, what the project set itself, and the page written of both."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from staged_pages import speed

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
STORE = Path(__file__).with_name("cpu.json")
REASONS = Path(__file__).with_name("reasons.toml")
STAGED = Path(__file__).with_name("staged.json")

# Part → what its value is to reach; of AT_MOST ones, not to exceed.
TARGETS: dict[str, float] = {
    **{"decode/Q4_1": 2.0, "decode/Q4_0": 1.6, "decode/Q4_K_M": 1.8, "decode/Q8_0": 1.45},
    **{"decode/BF16": 1.2, "prefill/Q4_1": 5.0, "long/Q4_1": 5.0},
    **{f"{what}/{kind}": 1.85 for what in ("prefill", "long") for kind in ("Q4_0", "Q4_K_M")},
    **{f"{what}/{kind}": 1.85 for what in ("prefill", "long") for kind in ("Q8_0", "BF16")},
    **{f"quality/{kind}": 1.1 for kind in ("Q4_1", "Q4_0", "Q4_K_M", "Q8_0", "BF16")},
    **{"eight": 1.5, "transformers": 6.0, "embeddings": 2.0, "start": 2.0, "load": 0.2},
    **{"memory/Q4_1": 1.15, "memory/Q8_0": 1.15, "bandwidth": 0.8, "context": 0.95, "size": 0.95},
}
AT_MOST = ("quality", "start", "load", "memory")
COSINE, PERPLEXITY = 0.9999, 0.005  # of embeddings at least; of a file's perplexity at most off

OTHERS = {
    "eight": "eight sequences of Q4_1 at once, beside llama.cpp with as many: tokens/s, ratio",
    "transformers": "writing, Q4_1 beside transformers in bfloat16: tokens/s, ratio",
    "embeddings": "256 texts, minilm:l6 beside sentence-transformers in float32: texts/s, ratio",
    "start": "`fathom run` to the first token, a process from its start: seconds",
    "load": "opening smollm2:135m again: seconds",
    "memory/Q4_1": "growth of a process / (file + state), Q4_1 after 2,048 tokens",
    "memory/Q8_0": "the same, Q8_0",
    "bandwidth": "1B parameters of random Q4_0: share of the memory's rate of reading",
    "context": "a token's time by tokens before it: how much of it a line explains",
    "size": "a token's time by megabytes of weights, random Q4_0 of five sizes: how much of it a"
    " line explains",
}


def _stored() -> dict[str, dict[str, object]]:
    return json.loads(STORE.read_text(encoding="utf-8")) if STORE.is_file() else {}


FIGURES = _stored()


def write(about: str) -> None:
    """Keep the figures, and write the page of them."""
    ordered = json.dumps(dict(sorted(FIGURES.items())), indent=1)
    STORE.write_text(ordered + "\n", encoding="utf-8")
    kinds = [kind for kind in ("Q4_1", "Q4_0", "Q4_K_M", "Q8_0", "BF16")]
    rows = [f"| {kind} | " + " | ".join(_ratio(f"{what}/{kind}") for what in _SPEEDS) + " |"
            for kind in kinds]  # fmt: skip
    others = [f"| {what} | {_other(part)} |" for part, what in OTHERS.items() if part in FIGURES]
    near = [_quality(kind) for kind in kinds if f"quality/{kind}" in FIGURES]
    missing = [f"- {part}: {miss}" for part in TARGETS if (miss := missed(part))]
    page = _PAGE.format(
        about=about,
        rows="\n".join(rows),
        others="\n".join(others),
        quality="\n".join(near),
        missing="\n".join(missing) or "None.",
        beyond="\n".join(speed(json.loads(STAGED.read_text(encoding="utf-8"))["speed"])),
    )
    PAGE.write_text(page, encoding="utf-8")


_SPEEDS = ("decode", "prefill", "long")


def _ratio(part: str) -> str:
    found = FIGURES.get(part)
    if found is None:
        return "not measured"
    spread = f" ({found['least']:.2f} – {found['most']:.2f})" if found["rounds"] > 1 else ""
    rates = f"{found['ours']:,.0f} / {found['peer']:,.0f}"
    return f"{rates} = **{found['value']:.2f}**{spread}, {found['commit']}"


def _other(part: str) -> str:
    found = FIGURES[part]
    text = f"**{found['value']:.2f}**"
    if "rounds" in found:
        text = f"{found['ours']:,.0f} / {found['peer']:,.0f} = {text}"
    if "least" in found:
        text += f" ({found['least']:.2f} – {found['most']:.2f})"
    if "slope" in found:
        text += f": {found['begin']:.2f} ms + {found['slope']:.2g} ms each"
    if "cosine" in found:
        text += f", least cosine {found['cosine']:.5f}"
    bound = "at most" if part.startswith(AT_MOST) else "at least"
    return f"{text} | {bound} {TARGETS[part]:g} | {found['commit']}"


def _quality(kind: str) -> str:
    found = FIGURES[f"quality/{kind}"]
    cells = f"{found['ours']:.5f} | {found['peer']:.5f} | {found['value']:.2f}"
    off = f"{found['off']:+.2%}" if "off" in found else "not measured"
    return f"| {kind} | {cells} | {off} | {found['commit']} |"


def missed(part: str) -> str | None:
    """Return by how much a part misses what it is to reach, and why; None where it does not."""
    found, target = FIGURES.get(part), TARGETS[part]
    if found is None:
        return "not measured yet"
    value = float(found["value"])
    wanted = [f"{value:.2f} where {target:g} is wanted, {abs(value / target - 1):.0%} off"]
    if value <= target if part.startswith(AT_MOST) else value >= target:
        wanted = []
    if float(found.get("cosine", 1)) < COSINE:
        wanted.append(f"a cosine of {found['cosine']:.5f} where {COSINE} is wanted")
    if abs(float(found.get("off", 0))) > PERPLEXITY:
        wanted.append(f"perplexity {found['off']:+.2%} off where {PERPLEXITY:.1%} is wanted")
    return f"{'; '.join(wanted)}: {_reason(part)}" if wanted else None


def _reason(part: str) -> str:
    table = tomllib.loads(REASONS.read_text(encoding="utf-8"))["speed"]
    return next((one["why"] for one in table if part in one["parts"]), "why is not known yet")


_PAGE = """\
# Performance on the processor

Written by `benchmarks/cpu.py`: {about}.

SmolLM2-135M-Instruct, the same file for both, in tokens per second, ours / llama.cpp: medians of
the rounds. Both take turns and a ratio is of two neighbours, with the least and the greatest;
above 1 is faster. Writing is 64 tokens after 32; reading is a prompt of 512, and once of 4,096.
The peer runs with the number of threads and the attention that write fastest. Behind each figure
stands the commit that it was measured at.

| file | writing | reading 512 | reading 4,096 |
|---|---|---|---|
{rows}

| what | found | wanted | commit |
|---|---|---|---|
{others}

How far the probabilities of the next token are from those of the same weights in float32: the
mean Kullback-Leibler divergence in nats over 2,048 positions of WikiText-2, which is not wanted
to be above 1.1 times that of llama.cpp; and how far perplexity is from float32's, not wanted to
be more than 0.5 %.

| file | ours | llama.cpp | ratio | perplexity | commit |
|---|---:|---:|---:|---:|---|
{quality}

{beyond}
[staged.md](staged.md) has what was predicted of them beside what was measured.

## Processors of another kind

64-bit ARM processors have kernels of their own: NEON, with SDOT and BFDOT where the processor has
them. `make arm` compiles them for such a processor and has an emulator hold every one to the
portable kernels, over odd shapes and broken numbers. That they are right is known; how fast they
are is not, as no such machine was measured. Windows was not tried: without a compiler of GCC's
kind Fathom installs and runs on PyTorch alone.

## What misses, by how much and why

{missing}
"""
