"""OpenELM, which has no class in transformers.

By its published modeling file a layer is one of Qwen 3's (norm before, grouped heads, a norm per
head on query and key before rotation, gated feed-forward) under other names, with one map for
query, key and value, one for gate and up, and with sizes of its own. So the reference is a stack
of transformers' Qwen 3 layers, each made from a configuration of its own, saved under OpenELM's
names.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import Qwen3Config
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.qwen3.modeling_qwen3 import (
    Qwen3DecoderLayer,
    Qwen3RMSNorm,
    Qwen3RotaryEmbedding,
)

from parity.case import Case, Reference, randomise

# Of 48 in steps of 16: 47 rounds up to 48 and 69 down to 64; 24 would lose a third, so it goes up.
SMALL = {
    "model_type": "openelm",
    "vocab_size": 99,
    "model_dim": 48,
    "head_dim": 12,
    "num_transformer_layers": 3,
    "num_query_heads": [2, 4, 6],
    "num_kv_heads": [1, 2, 2],
    "ffn_multipliers": [0.49, 0.97, 1.43],
    "ffn_dim_divisor": 16,
    "ffn_with_glu": True,
    "activation_fn_name": "swish",
    "normalization_layer_name": "rms_norm",
    "normalize_qk_projections": True,
    "share_input_output_layers": True,
    "rope_freq_constant": 10000,
    "max_context_length": 64,
    "rope_max_length": 128,
}
INNER = [32, 48, 64]


class OpenElm(nn.Module):
    """Qwen 3's layers, each of its own size."""

    def __init__(self, config: Mapping[str, object]) -> None:
        super().__init__()
        sizes = zip(config["num_query_heads"], config["num_kv_heads"], INNER, strict=True)
        configs = [
            Qwen3Config(
                hidden_size=48,
                head_dim=12,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                intermediate_size=inner,
                rope_parameters={"rope_theta": config["rope_freq_constant"]},
                attn_implementation="eager",
            )
            for heads, kv_heads, inner in sizes
        ]
        self.embedding = nn.Embedding(config["vocab_size"], 48)
        self.layers = nn.ModuleList([Qwen3DecoderLayer(c, i) for i, c in enumerate(configs)])
        if not config["normalize_qk_projections"]:
            for layer in self.layers:
                layer.self_attn.q_norm = layer.self_attn.k_norm = nn.Identity()
        self.norm = Qwen3RMSNorm(48)
        self.rotary = Qwen3RotaryEmbedding(configs[0])
        shared = config["share_input_output_layers"]
        self.head = None if shared else nn.Linear(48, config["vocab_size"], bias=False)

    def forward(self, input_ids: Tensor, **_: object) -> CausalLMOutputWithPast:
        x, length = self.embedding(input_ids), input_ids.shape[1]
        angles = self.rotary(x, torch.arange(length)[None])
        mask = torch.full((1, 1, length, length), torch.finfo(x.dtype).min, dtype=x.dtype).triu(1)
        for layer in self.layers:
            x = layer(x, attention_mask=mask, position_embeddings=angles)
        table = self.embedding.weight if self.head is None else self.head.weight
        return CausalLMOutputWithPast(logits=nn.functional.linear(self.norm(x), table))

    def published(self) -> dict[str, Tensor]:
        """Return the tensors as OpenELM names and joins them."""
        found = {
            "transformer.token_embeddings.weight": self.embedding.weight,
            "transformer.norm.weight": self.norm.weight,
        }
        if self.head is not None:
            found["lm_head.weight"] = self.head.weight
        for index, layer in enumerate(self.layers):
            attention, feed_forward = layer.self_attn, layer.mlp
            joined = [attention.q_proj, attention.k_proj, attention.v_proj]
            parts = {
                "attn.qkv_proj": torch.cat([part.weight for part in joined]),
                "attn.out_proj": attention.o_proj.weight,
                "attn_norm": layer.input_layernorm.weight,
                "ffn_norm": layer.post_attention_layernorm.weight,
                "ffn.proj_1": torch.cat(
                    [feed_forward.gate_proj.weight, feed_forward.up_proj.weight]
                ),
                "ffn.proj_2": feed_forward.down_proj.weight,
            }
            if isinstance(attention.q_norm, Qwen3RMSNorm):
                parts |= {"attn.q_norm": attention.q_norm.weight}
                parts |= {"attn.k_norm": attention.k_norm.weight}
            found |= {f"transformer.layers.{index}.{k}.weight": v for k, v in parts.items()}
        return {name: tensor.detach().contiguous() for name, tensor in found.items()}


def _build(config: Mapping[str, object], folder: Path) -> Reference:
    model = OpenElm(config).eval()
    randomise(model)
    save_file(model.published(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return Reference(folder, model, 99)


def _case(label: str, **variant: object) -> Case:
    config = {**SMALL, **variant}
    published = config["normalize_qk_projections"] and config["share_input_output_layers"]
    return Case(
        "openelm",
        label,
        config,
        saves=False,
        gguf="ours" if published else "",
        gguf_keys={"feed_forward_length": INNER},
        build=partial(_build, config),
    )


CASES = [
    _case("published"),
    _case("untied", share_input_output_layers=False, rope_freq_constant=500),
    _case("no-head-norms", normalize_qk_projections=False),
]
