"""The tiny recursive model as a plain program over its authors' names, to hold ours to.

Written from the paper (arXiv 2510.04871, its algorithm in figure 3) and the published layout of
tensors: no library has this architecture.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]
INNER = "model.inner."
BASE = {
    "model_type": "trm",
    "seq_len": 9,
    "vocab_size": 7,
    "num_puzzle_identifiers": 3,
    "puzzle_emb_ndim": 32,
    "puzzle_emb_len": 2,
    "hidden_size": 32,
    "num_heads": 4,
    "expansion": 4,
    "L_layers": 2,
    "H_cycles": 3,
    "L_cycles": 2,
    "halt_max_steps": 4,
    "pos_encodings": "rope",
    "mlp_t": False,
}
CASES = {
    "attention": {},
    "across positions": {"mlp_t": True, "pos_encodings": "none"},
    "learned positions": {"pos_encodings": "learned", "rms_norm_eps": 1e-3},
    "no slots": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
    "slots by width": {"puzzle_emb_ndim": 40, "puzzle_emb_len": 0, "rope_theta": 100.0},
    "one cycle": {"H_cycles": 1, "L_cycles": 1, "halt_max_steps": 1, "L_layers": 1},
}


def config(case: str) -> dict[str, object]:
    return {**BASE, **CASES[case]}


def weights(stated: dict, seed: int = 0) -> Weights:
    """Return random weights under the published names."""
    torch.manual_seed(seed)
    width, places = stated["hidden_size"], stated["seq_len"] + slots(stated)
    shapes = {
        "embed_tokens.embedding_weight": (stated["vocab_size"], width),
        "H_init": (width,),
        "L_init": (width,),
        "lm_head.weight": (stated["vocab_size"], width),
        "q_head.weight": (2, width),
        "q_head.bias": (2,),
    }
    if stated["puzzle_emb_ndim"]:
        table = (stated["num_puzzle_identifiers"], stated["puzzle_emb_ndim"])
        shapes["puzzle_emb.weights"] = table
    if stated["pos_encodings"] == "learned":
        shapes["embed_pos.embedding_weight"] = (places, width)
    for layer in range(stated["L_layers"]):
        at = f"L_level.layers.{layer}"
        if stated["mlp_t"]:
            shapes |= gated(f"{at}.mlp_t", places, stated["expansion"])
        else:
            shapes[f"{at}.self_attn.qkv_proj.weight"] = (3 * width, width)
            shapes[f"{at}.self_attn.o_proj.weight"] = (width, width)
        shapes |= gated(f"{at}.mlp", width, stated["expansion"])
    # As wide as what comes in asks for (LeCun): wider, and rounds magnify rounding a thousandfold.
    return {
        f"{INNER}{name}": torch.randn(shape) / math.sqrt(shape[-1])
        for name, shape in shapes.items()
    }


def gated(at: str, width: int, expansion: float) -> dict[str, tuple[int, ...]]:
    inner = math.ceil(round(expansion * width * 2 / 3) / 256) * 256
    return {
        f"{at}.gate_up_proj.weight": (2 * inner, width),
        f"{at}.down_proj.weight": (width, inner),
    }


def slots(stated: dict) -> int:
    given = stated["puzzle_emb_len"]
    return given or math.ceil(stated["puzzle_emb_ndim"] / stated["hidden_size"])


def save(folder: Path, stated: dict, held: Weights) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(stated))
    save_file(held, folder / "model.safetensors")
    return folder


def question(stated: dict, held: Weights, tokens: Tensor, puzzle: Tensor) -> Tensor:
    """Return what is injected into every refinement of the scratch."""
    width, count = stated["hidden_size"], slots(stated)
    found = held[f"{INNER}embed_tokens.embedding_weight"][tokens]
    if count:
        before = torch.zeros(len(tokens), count * width)
        before[:, : stated["puzzle_emb_ndim"]] = held[f"{INNER}puzzle_emb.weights"][puzzle]
        found = torch.cat([before.view(len(tokens), count, width), found], 1)
    if stated["pos_encodings"] == "learned":
        found = (found + held[f"{INNER}embed_pos.embedding_weight"]) / math.sqrt(2)
    return found * math.sqrt(width)


def round_(
    stated: dict, held: Weights, question: Tensor, answer: Tensor, scratch: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the scores and the halting score of a round, and the two states after it."""
    held = {name.removeprefix(INNER): tensor for name, tensor in held.items()}
    for _ in range(stated["H_cycles"]):
        for _ in range(stated["L_cycles"]):
            scratch = network(stated, held, scratch + answer + question)
        answer = network(stated, held, answer + scratch)
    halting = answer[:, 0] @ held["q_head.weight"].T + held["q_head.bias"]
    scores = (answer @ held["lm_head.weight"].T)[:, slots(stated) :]
    return scores, halting[:, 0], answer, scratch


def network(stated: dict, held: Weights, x: Tensor) -> Tensor:
    epsilon = stated.get("rms_norm_eps", 1e-5)

    def normed(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()

    def feed(x: Tensor, at: str) -> Tensor:
        gate, up = (x @ held[f"{at}.gate_up_proj.weight"].T).chunk(2, -1)
        return (functional.silu(gate) * up) @ held[f"{at}.down_proj.weight"].T

    for layer in range(stated["L_layers"]):
        at = f"L_level.layers.{layer}"
        if stated["mlp_t"]:
            turned = x.mT
            x = normed(turned + feed(turned, f"{at}.mlp_t")).mT
        else:
            x = normed(x + attend(stated, held, x, f"{at}.self_attn"))
        x = normed(x + feed(x, f"{at}.mlp"))
    return x


def attend(stated: dict, held: Weights, x: Tensor, at: str) -> Tensor:
    heads = stated["num_heads"]
    fused = x @ held[f"{at}.qkv_proj.weight"].T
    query, key, value = fused.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    if stated["pos_encodings"] == "rope":
        query, key = turned(query, stated), turned(key, stated)
    weight = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)
    return (weight @ value).transpose(1, 2).flatten(2) @ held[f"{at}.o_proj.weight"].T


def turned(x: Tensor, stated: dict) -> Tensor:
    half = x.shape[-1] // 2
    pace = stated.get("rope_theta", 10_000.0) ** (-torch.arange(half) / half)
    angle = torch.outer(torch.arange(x.shape[-2]).float(), pace)
    whole = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([whole.real, whole.imag], -1)
