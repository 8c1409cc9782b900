"""Grok-1, which the reference library does not have.

The reference here is written from the published description (xai-org/grok-1, ``model.py``):
function by function in plain PyTorch, with every expert run for every token and a one-hot choice
among them, as there. It shares nothing with the package.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from parity.case import Case, Reference, randomise

CONFIG = {
    "model_type": "grok-1",
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "attn_output_multiplier": 0.4,
    "max_attn_value": 2.0,
    "embedding_multiplier_scale": 3.0,
    "output_multiplier_scale": 0.6,
    "rms_norm_eps": 1e-5,
}


class Scale(nn.Module):
    """Root-mean-square norm whose weight is called ``scale``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + CONFIG["rms_norm_eps"])
        return (self.scale.float() * normed).to(x.dtype)


def turn(x: Tensor) -> Tensor:
    """Rotate (batch, length, heads, width) by position, halves paired, base 10,000."""
    width = x.shape[-1]
    frequencies = 1.0 / 10000 ** (torch.arange(0, width, 2).float() / width)
    phase = torch.arange(x.shape[1]).float()[:, None] * frequencies
    phase = torch.cat((phase, phase), dim=-1)[None, :, None, :]
    first, second = x.float().chunk(2, dim=-1)
    return (x * phase.cos() + torch.cat((-second, first), dim=-1) * phase.sin()).to(x.dtype)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width, heads = CONFIG["hidden_size"], CONFIG["num_attention_heads"]
        self.head = width // heads
        keys = CONFIG["num_key_value_heads"] * self.head
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, keys, bias=False)
        self.v_proj = nn.Linear(width, keys, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query = turn(self.q_proj(x).unflatten(-1, (-1, self.head)))
        key = turn(self.k_proj(x).unflatten(-1, (-1, self.head)))
        value = self.v_proj(x).unflatten(-1, (-1, self.head))
        query = query.unflatten(2, (key.shape[2], -1))
        scores = torch.einsum("bthHd,bThd->bhHtT", query, key).float()
        bound = CONFIG["max_attn_value"]
        scores = bound * torch.tanh(scores * CONFIG["attn_output_multiplier"] / bound)
        length = x.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        weights = torch.where(seen, scores, -1e30).softmax(dim=-1).to(x.dtype)
        mixed = torch.einsum("bhHtT,bThd->bthHd", weights, value)
        return self.o_proj(mixed.flatten(2))


class Expert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.linear = nn.Linear(width, inner, bias=False)
        self.linear_v = nn.Linear(width, inner, bias=False)
        self.linear_1 = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        cubic = y + 0.044715 * y**3
        gelu = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubic))
        return self.linear_1(gelu * self.linear_v(x))


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        count = CONFIG["num_experts"]
        self.gate = nn.Linear(CONFIG["hidden_size"], count, bias=False)
        self.experts = nn.ModuleList([Expert() for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        routed = torch.softmax(x.float() @ self.gate.weight.float().T, dim=-1)
        kept, index = routed.topk(CONFIG["num_experts_per_tok"], dim=-1)
        every = torch.stack([expert(x) for expert in self.experts], dim=-2)
        chosen = nn.functional.one_hot(index, len(self.experts)).to(x.dtype)
        return torch.einsum("btk,btke,btew->btw", kept.to(x.dtype), chosen, every)


class DecoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = CONFIG["hidden_size"]
        self.attn, self.moe_block = SelfAttention(), Mixture()
        self.pre_attn_norm, self.post_attn_norm = Scale(width), Scale(width)
        self.pre_moe_norm, self.post_moe_norm = Scale(width), Scale(width)

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.post_attn_norm(self.attn(self.pre_attn_norm(h)))
        return h + self.post_moe_norm(self.moe_block(self.pre_moe_norm(h)))


class Grok(nn.Module):
    """The whole model; its parameters bear the names of the published conversions."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(CONFIG["vocab_size"], CONFIG["hidden_size"])
        layers = [DecoderLayer() for _ in range(CONFIG["num_hidden_layers"])]
        self.model.layers = nn.ModuleList(layers)
        self.model.norm = Scale(CONFIG["hidden_size"])

    def forward(
        self, input_ids: Tensor, attention_mask: None = None, use_cache: bool = False
    ) -> SimpleNamespace:
        table = self.model.embed_tokens.weight
        h = table[input_ids] * CONFIG["embedding_multiplier_scale"]
        for layer in self.model.layers:
            h = layer(h)
        scores = self.model.norm(h) @ table.T
        return SimpleNamespace(logits=scores * CONFIG["output_multiplier_scale"])


def build(folder: Path) -> Reference:
    """Make and save a tiny random Grok."""
    torch.manual_seed(5)
    model = Grok().eval().requires_grad_(False)
    randomise(model)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return Reference(folder, model, CONFIG["vocab_size"])


CASES = [
    Case(
        "grok-1",
        "described",
        CONFIG,
        saves=False,  # there is no class in the reference library to open it with
        build=build,
        gguf="ours",
        gguf_names=False,  # it knows those of xAI's own checkpoint format
        notes="reference written from the published description",
    )
]
