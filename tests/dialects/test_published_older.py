"""GPT-2's heirs and their contemporaries as published, with the parameters that are stated of them.

The keys are those of the files on the hub, older spellings included; what says nothing about the
model (token ids, dropout, initialisation) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.errors import ConfigError
from fathom.spec.attention import Attention, Everything, Window
from fathom.spec.decoder import Decoder
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import count
from fathom.spec.positions import Alibi, Rotary, RoundedAlibi


@dataclass(frozen=True)
class Published:
    """A configuration, and the parameters that its publisher states or its file holds."""

    name: str
    parameters: int
    config: Mapping[str, object]

    def read(self, **changed: object) -> Decoder:
        config = {**self.config, **changed}
        spec = find(str(config["model_type"])).read(Config(config))
        assert isinstance(spec, Decoder)
        return spec


GPT2 = Published(
    "openai-community/gpt2-xl",
    1_557_611_200,
    {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-05,
        "n_ctx": 1024,
        "n_embd": 1600,
        "n_head": 25,
        "n_layer": 48,
        "n_positions": 1024,
        "output_past": True,
        "vocab_size": 50257,
    },
)
STARCODER = Published(
    "bigcode/starcoder",
    15_517_456_384,
    {
        "model_type": "gpt_bigcode",
        "activation_function": "gelu",
        "attention_softmax_in_fp32": True,
        "inference_runner": 0,
        "layer_norm_epsilon": 1e-05,
        "multi_query": True,
        "n_embd": 6144,
        "n_head": 48,
        "n_inner": 24576,
        "n_layer": 40,
        "n_positions": 8192,
        "scale_attention_softmax_in_fp32": True,
        "scale_attn_weights": True,
        "vocab_size": 49152,
    },
)
GPT_NEO = Published(
    "EleutherAI/gpt-neo-2.7B",
    2_651_307_520,
    {
        "model_type": "gpt_neo",
        "activation_function": "gelu_new",
        "attention_layers": ["global", "local"] * 16,
        "attention_types": [[["global", "local"], 16]],
        "hidden_size": 2560,
        "intermediate_size": None,
        "layer_norm_epsilon": 1e-05,
        "max_position_embeddings": 2048,
        "num_heads": 20,
        "num_layers": 32,
        "vocab_size": 50257,
        "window_size": 256,
    },
)
PYTHIA = Published(
    "EleutherAI/pythia-12b",
    11_846_072_320,
    {
        "model_type": "gpt_neox",
        "hidden_act": "gelu",
        "hidden_size": 5120,
        "intermediate_size": 20480,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "num_attention_heads": 40,
        "num_hidden_layers": 36,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_parallel_residual": True,
        "vocab_size": 50688,
    },
)
GPTJ = Published(
    "EleutherAI/gpt-j-6b",
    6_050_882_784,
    {
        "model_type": "gptj",
        "activation_function": "gelu_new",
        "gradient_checkpointing": False,
        "layer_norm_epsilon": 1e-05,
        "n_embd": 4096,
        "n_head": 16,
        "n_inner": None,
        "n_layer": 28,
        "n_positions": 2048,
        "rotary": True,
        "rotary_dim": 64,
        "scale_attn_weights": True,
        "tie_word_embeddings": False,
        "vocab_size": 50400,
    },
)
CODEGEN = Published(
    "Salesforce/codegen-350M-mono",
    356_712_448,
    {
        "model_type": "codegen",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-05,
        "n_ctx": 2048,
        "n_embd": 1024,
        "n_head": 16,
        "n_inner": None,
        "n_layer": 20,
        "n_positions": 2048,
        "rotary_dim": 32,
        "scale_attn_weights": True,
        "tie_word_embeddings": False,
        "vocab_size": 51200,
    },
)
STARCODER2 = Published(
    "bigcode/starcoder2-3b",
    3_030_371_328,
    {
        "model_type": "starcoder2",
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 3072,
        "intermediate_size": 12288,
        "max_position_embeddings": 16384,
        "mlp_type": "default",
        "norm_epsilon": 1e-05,
        "norm_type": "layer_norm",
        "num_attention_heads": 24,
        "num_hidden_layers": 30,
        "num_key_value_heads": 2,
        "rope_theta": 999999.4420358813,
        "sliding_window": 4096,
        "use_bias": True,
        "vocab_size": 49152,
    },
)
FALCON_7B = Published(
    "tiiuae/falcon-7b",
    6_921_720_704,
    {
        "model_type": "falcon",
        "alibi": False,
        "bias": False,
        "hidden_size": 4544,
        "layer_norm_epsilon": 1e-05,
        "multi_query": True,
        "new_decoder_architecture": False,
        "num_attention_heads": 71,
        "num_hidden_layers": 32,
        "parallel_attn": True,
        "vocab_size": 65024,
    },
)
FALCON_40B = Published(
    "tiiuae/falcon-40b",
    41_303_293_952,
    {
        "model_type": "falcon",
        "alibi": False,
        "bias": False,
        "hidden_size": 8192,
        "layer_norm_epsilon": 1e-05,
        "new_decoder_architecture": True,
        "num_attention_heads": 128,
        "num_hidden_layers": 60,
        "num_kv_heads": 8,
        "parallel_attn": True,
        "vocab_size": 65024,
    },
)
FALCON_RW = Published(
    "tiiuae/falcon-rw-1b",
    1_311_625_216,
    {
        "model_type": "falcon",
        "alibi": True,
        "bias": True,
        "hidden_size": 2048,
        "layer_norm_epsilon": 1e-05,
        "multi_query": False,
        "new_decoder_architecture": False,
        "num_attention_heads": 32,
        "num_hidden_layers": 24,
        "parallel_attn": False,
        "vocab_size": 50304,
    },
)
BLOOM = Published(
    "bigscience/bloom-560m",
    559_214_592,
    {
        "model_type": "bloom",
        "apply_residual_connection_post_layernorm": False,
        "layer_norm_epsilon": 1e-05,
        "masked_softmax_fusion": True,
        "n_embed": 1024,
        "n_inner": None,
        "n_layer": 24,
        "num_attention_heads": 16,
        "offset_alibi": 100,
        "pretraining_tp": 1,
        "seq_length": 2048,
        "skip_bias_add": True,
        "slow_but_exact": False,
        "vocab_size": 250880,
    },
)
BLOOM_176B = Published(
    "bigscience/bloom",
    176_247_271_424,
    {
        "model_type": "bloom",
        "apply_residual_connection_post_layernorm": False,
        "layer_norm_epsilon": 1e-05,
        "n_embed": 14336,
        "n_layer": 70,
        "num_attention_heads": 112,
        "pretraining_tp": 4,
        "slow_but_exact": False,
        "vocab_size": 250880,
    },
)
MPT = Published(
    "mosaicml/mpt-7b",
    6_649_286_656,
    {
        "model_type": "mpt",
        "attn_config": {
            "alibi": True,
            "alibi_bias_max": 8,
            "attn_impl": "torch",
            "attn_pdrop": 0,
            "attn_type": "multihead_attention",
            "attn_uses_sequence_id": False,
            "clip_qkv": None,
            "prefix_lm": False,
            "qk_ln": False,
            "softmax_scale": None,
        },
        "d_model": 4096,
        "embedding_fraction": 1.0,
        "expansion_ratio": 4,
        "learned_pos_emb": True,
        "logit_scale": None,
        "max_seq_len": 2048,
        "n_heads": 32,
        "n_layers": 32,
        "no_bias": True,
        "norm_type": "low_precision_layernorm",
        "vocab_size": 50432,
    },
)
OPT_350M = Published(
    "facebook/opt-350m",
    331_196_416,
    {
        "model_type": "opt",
        "_remove_final_layer_norm": False,
        "activation_function": "relu",
        "do_layer_norm_before": False,
        "ffn_dim": 4096,
        "hidden_size": 1024,
        "max_position_embeddings": 2048,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "vocab_size": 50272,
        "word_embed_proj_dim": 512,
    },
)
OPT = Published(
    "facebook/opt-1.3b",
    1_315_758_080,
    {
        "model_type": "opt",
        "_remove_final_layer_norm": False,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "ffn_dim": 8192,
        "hidden_size": 2048,
        "max_position_embeddings": 2048,
        "num_attention_heads": 32,
        "num_hidden_layers": 24,
        "vocab_size": 50272,
        "word_embed_proj_dim": 2048,
    },
)
BIOGPT = Published(
    "microsoft/biogpt",
    346_763_264,
    {
        "model_type": "biogpt",
        "hidden_act": "gelu",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 1024,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "scale_embedding": True,
        "vocab_size": 42384,
    },
)
OPENELM = Published(
    "apple/OpenELM-270M",
    271_527_168,
    {
        "model_type": "openelm",
        "activation_fn_name": "swish",
        "ffn_dim_divisor": 256,
        "ffn_multipliers": [
            *(0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13),
            *(2.37, 2.6, 2.83, 3.07, 3.3, 3.53, 3.77, 4.0),
        ],
        "ffn_with_glu": True,
        "head_dim": 64,
        "max_context_length": 2048,
        "model_dim": 1280,
        "normalization_layer_name": "rms_norm",
        "normalize_qk_projections": True,
        "num_gqa_groups": 4,
        "num_kv_heads": [3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5],
        "num_query_heads": [12, 12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20],
        "num_transformer_layers": 16,
        "qkv_multipliers": [0.5, 1.0],
        "rope_freq_constant": 10000,
        "rope_max_length": 4096,
        "share_input_output_layers": True,
        "vocab_size": 32000,
    },
)
ALL = [value for value in list(globals().values()) if isinstance(value, Published)]


@pytest.mark.parametrize("published", ALL, ids=lambda published: published.name)
def test_parameters_are_those_stated(published: Published) -> None:
    assert count(published.read()) == published.parameters


def test_layers_are_as_published() -> None:
    neo = [layer.mixer for layer in GPT_NEO.read().layers]
    assert [mixer.reach for mixer in neo[:3]] == [Everything(), Window(256), Everything()]
    assert neo[0].scale == 1.0
    mixer, context = STARCODER2.read().mixer(Attention), STARCODER2.read().context
    assert (mixer.reach, mixer.kv_heads, context) == (Window(4096), 2, 16384)
    assert mixer.positions == Rotary(999999.4420358813, 128)
    assert STARCODER.read().mixer(Attention).kv_heads == 1
    assert GPTJ.read().mixer(Attention).positions == Rotary(10000.0, 64, interleaved=True)
    assert PYTHIA.read().mixer(Attention).positions == Rotary(10000.0, 32)


def test_falcons_layouts_are_told_apart() -> None:
    small, large, alibi = (p.read().layers[0] for p in (FALCON_7B, FALCON_40B, FALCON_RW))
    assert small.parallel and large.parallel and not alibi.parallel
    norms = [layer.feed_forward_residual.before is not None for layer in (small, large, alibi)]
    assert norms == [False, True, True]
    assert [layer.mixer.kv_heads for layer in (small, large, alibi)] == [1, 8, 32]
    assert isinstance(alibi.mixer.positions, RoundedAlibi)
    assert FALCON_7B.read().context == 2048


def test_opts_two_layouts_are_told_apart() -> None:
    usual, odd = OPT.read(), OPT_350M.read()
    assert usual.norm is not None and usual.embedding.table_width is None
    assert odd.norm is None and odd.embedding.table_width == odd.output.table_width == 512
    assert odd.layers[0].mixer_residual.closing is not None


def test_openelm_grows() -> None:
    layers = OPENELM.read().layers
    inner = [
        layer.feed_forward.inner for layer in layers if isinstance(layer.feed_forward, GatedMlp)
    ]
    assert (inner[0], inner[1], inner[-1]) == (768, 1024, 5120)  # 640 and 934.4 rounded to 256
    assert [layer.mixer.heads for layer in (layers[0], layers[-1])] == [12, 20]


def test_mpts_own_attention_is_read() -> None:
    section = {"alibi": True, "alibi_bias_max": 16, "clip_qkv": 6, "softmax_scale": 0.1}
    mixer = MPT.read(attn_config=section).mixer(Attention)
    assert (mixer.clip, mixer.scale) == (6.0, 0.1)
    assert isinstance(mixer.positions, Alibi) and mixer.positions.slopes[-1] == 2.0**-16


REFUSED = [
    (GPT2, {"add_cross_attention": True}, "'add_cross_attention'"),
    (GPT2, {"n_embd": -3}, "'n_embd' must be"),
    (GPT2, {"activation_function": "wave"}, "'activation_function'"),
    (STARCODER, {"add_cross_attention": True}, "'add_cross_attention'"),
    (GPT_NEO, {"attention_types": [[["global", "far"], 16]]}, "'far'"),
    (GPT_NEO, {"attention_types": [[["global", "local"], 15]]}, "30 layers of 32"),
    (GPT_NEO, {"attention_types": ["global"]}, "not kinds and a count"),
    (PYTHIA, {"rope_scaling": {"type": "spiral", "factor": 2.0}}, "spiral"),
    (PYTHIA, {"rotary_pct": 1.5}, "between 0 and 1"),
    (GPTJ, {"rotary_dim": 300}, "'rotary_dim'"),
    (GPTJ, {"rotary_dim": 63}, "63 is odd"),
    (GPTJ, {"rotary": False}, "'rotary'"),
    (CODEGEN, {"n_head": 2}, "4 blocks"),
    (STARCODER2, {"mlp_type": "gated"}, "'mlp_type'"),
    (STARCODER2, {"norm_type": "rms_norm"}, "'norm_type'"),
    (FALCON_7B, {"num_ln_in_parallel_attn": 2}, "'num_ln_in_parallel_attn' 2"),
    (FALCON_40B, {"parallel_attn": False}, "'parallel_attn'"),
    (FALCON_40B, {"num_kv_heads": 7}, "7 key heads"),
    (BLOOM, {"apply_residual_connection_post_layernorm": True}, "post_layernorm"),
    (MPT, {"attn_config": {"qk_ln": True}}, "'qk_ln'"),
    (MPT, {"attn_config": {"prefix_lm": True}}, "'prefix_lm'"),
    (MPT, {"attn_config": {"alibi": False}}, "'alibi'"),
    (MPT, {"attn_config": {"attn_type": "multiquery_attention"}}, "'attn_type'"),
    (MPT, {"no_bias": False}, "'no_bias'"),
    (MPT, {"logit_scale": 0.1}, "'logit_scale'"),
    (MPT, {"norm_type": "rmsnorm"}, "'norm_type'"),
    (OPT, {"enable_bias": "yes"}, "'enable_bias'"),
    (BIOGPT, {"hidden_act": "wave"}, "'hidden_act'"),
    (OPENELM, {"num_kv_heads": [3]}, "'num_kv_heads'"),
    (OPENELM, {"num_query_heads": [12.5] * 16}, "'num_query_heads'"),
    (OPENELM, {"ffn_multipliers": [1.0]}, "'ffn_multipliers'"),
    (OPENELM, {"ffn_with_glu": False}, "'ffn_with_glu'"),
    (OPENELM, {"normalization_layer_name": "layer_norm"}, "'normalization_layer_name'"),
]


@pytest.mark.parametrize(("published", "changed", "complaint"), REFUSED, ids=str)
def test_what_is_not_understood_is_refused(
    published: Published, changed: dict[str, object], complaint: str
) -> None:
    """The accepted twin of each is the published configuration itself, read above."""
    with pytest.raises(ConfigError, match=complaint):
        published.read(**changed)
