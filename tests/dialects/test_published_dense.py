"""Configurations as published, with the number of parameters that their publishers state.

The keys are those of the files on the hub when each model appeared, older spellings included;
what says nothing about the model (token ids, dropout, versions) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from fathom.checkpoint.naming import assign
from fathom.dialects import gguf
from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.errors import ConfigError, TensorMismatchError
from fathom.spec.attention import Attention, Everything, Window
from fathom.spec.decoder import Decoder
from fathom.spec.parts import count, parameters
from fathom.spec.positions import LinearScaling, LongRopeScaling, Rotary, YarnScaling


@dataclass(frozen=True)
class Published:
    """A configuration, and the parameters that were stated or counted in the files."""

    name: str
    parameters: int
    config: Mapping[str, object]


QWEN25 = Published(
    "Qwen/Qwen2.5-7B-Instruct",
    7_615_616_512,
    {
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 32768,
        "max_window_layers": 28,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": 152064,
    },
)
QWEN3 = Published(
    "Qwen/Qwen3-8B",
    8_190_735_360,
    {
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "max_position_embeddings": 40960,
        "max_window_layers": 36,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
)
MIMO = Published(
    "XiaomiMiMo/MiMo-7B-Base",
    7_833_409_536 - 210_790_400,  # the files, without the layer that predicts further tokens
    {
        "model_type": "mimo",
        "attention_bias": True,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "max_position_embeddings": 32768,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "num_nextn_predict_layers": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 640000,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": 151680,
    },
)
GEMMA = Published(
    "google/gemma-2b",
    2_506_172_416,
    {
        "model_type": "gemma",
        "head_dim": 256,
        "hidden_act": "gelu",
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "max_position_embeddings": 8192,
        "num_attention_heads": 8,
        "num_hidden_layers": 18,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "vocab_size": 256000,
    },
)
GEMMA2 = Published(
    "google/gemma-2-27b",
    27_227_128_320,
    {
        "model_type": "gemma2",
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "head_dim": 128,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 4608,
        "intermediate_size": 36864,
        "max_position_embeddings": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 46,
        "num_key_value_heads": 16,
        "query_pre_attn_scalar": 144,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "vocab_size": 256000,
    },
)
GEMMA3 = Published(  # the text part, which leaves out whatever is a default
    "google/gemma-3-4b-it",
    3_880_263_168,
    {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
)
PHI2 = Published(
    "microsoft/phi-2",
    2_779_683_840,
    {
        "model_type": "phi",
        "hidden_act": "gelu_new",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.4,
        "qk_layernorm": False,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "vocab_size": 51200,
    },
)
PHI3 = Published(
    "microsoft/Phi-3-mini-128k-instruct",
    3_821_079_552,
    {
        "model_type": "phi3",
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "long_factor": [1.0 + index for index in range(48)],
            "short_factor": [1.0] * 48,
            "type": "longrope",
        },
        "rope_theta": 10000.0,
        "sliding_window": 262144,
        "tie_word_embeddings": False,
        "vocab_size": 32064,
    },
)
PHI4 = Published(
    "microsoft/Phi-4-mini-instruct",
    3_836_021_760,
    {
        "model_type": "phi3",
        "attention_bias": False,
        "full_attn_mod": 1,
        "hidden_act": "silu",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "num_attention_heads": 24,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "original_max_position_embeddings": 4096,
        "partial_rotary_factor": 0.75,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "long_factor": [1.0 + index for index in range(48)],
            "short_factor": [1.0] * 48,
            "type": "longrope",
        },
        "rope_theta": 10000.0,
        "sliding_window": 262144,
        "tie_word_embeddings": True,
        "vocab_size": 200064,
    },
)
OLMO = Published(
    "allenai/OLMo-1B-hf",
    1_176_764_416,
    {
        "model_type": "olmo",
        "attention_bias": False,
        "clip_qkv": None,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "max_position_embeddings": 2048,
        "num_attention_heads": 16,
        "num_hidden_layers": 16,
        "num_key_value_heads": 16,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "vocab_size": 50304,
    },
)
OLMO2 = Published(
    "allenai/OLMo-2-1124-7B",
    7_298_617_344,
    {
        "model_type": "olmo2",
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "max_position_embeddings": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 500000,
        "tie_word_embeddings": False,
        "vocab_size": 100352,
    },
)
COHERE = Published(
    "CohereForAI/c4ai-command-r-v01",
    34_980_831_232,
    {
        "model_type": "cohere",
        "hidden_act": "silu",
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "layer_norm_eps": 1e-05,
        "logit_scale": 0.0625,
        "max_position_embeddings": 8192,
        "model_max_length": 131072,
        "num_attention_heads": 64,
        "num_hidden_layers": 40,
        "num_key_value_heads": 64,
        "rope_theta": 8000000.0,
        "use_qk_norm": False,
        "vocab_size": 256000,
    },
)
COHERE2 = Published(
    "CohereForAI/c4ai-command-r7b-12-2024",
    8_028_033_024,
    {
        "model_type": "cohere2",
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "layer_norm_eps": 1e-05,
        "layer_switch": 4,
        "logit_scale": 0.25,
        "max_position_embeddings": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "order_of_interleaved_layers": "local_attn_first",
        "position_embedding_type": "rope_gptj",
        "rope_scaling": None,
        "rope_theta": 50000,
        "rotary_pct": 1.0,
        "sliding_window": 4096,
        "sliding_window_pattern": 4,
        "use_embedding_sharing": True,
        "use_gated_activation": True,
        "use_parallel_block": True,
        "use_parallel_embedding": True,
        "vocab_size": 256000,
    },
)
GRANITE = Published(
    "ibm-granite/granite-3.1-2b-instruct",
    2_533_531_648,
    {
        "model_type": "granite",
        "attention_bias": False,
        "attention_multiplier": 0.015625,
        "embedding_multiplier": 12.0,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "logits_scaling": 8.0,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "num_attention_heads": 32,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "residual_multiplier": 0.22,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 5000000.0,
        "tie_word_embeddings": True,
        "vocab_size": 49155,
    },
)
NEMOTRON = Published(
    "nvidia/Minitron-4B-Base",
    4_190_509_056,  # stated as 4.19 B
    {
        "model_type": "nemotron",
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "relu2",
        "hidden_size": 3072,
        "intermediate_size": 9216,
        "max_position_embeddings": 4096,
        "mlp_bias": False,
        "norm_eps": 1e-05,
        "num_attention_heads": 24,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "partial_rotary_factor": 0.5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "vocab_size": 256000,
    },
)
ERNIE = Published(
    "baidu/ERNIE-4.5-0.3B-PT",
    360_748_032,
    {
        "model_type": "ernie4_5",
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_position_embeddings": 131072,
        "num_attention_heads": 16,
        "num_hidden_layers": 18,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "use_bias": False,
        "vocab_size": 103424,
    },
)
SMOLLM3 = Published(
    "HuggingFaceTB/SmolLM3-3B",
    3_075_098_624,
    {
        "model_type": "smollm3",
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "layer_types": ["full_attention"] * 36,
        "max_position_embeddings": 65536,
        "max_window_layers": 28,
        "mlp_bias": False,
        "no_rope_layer_interval": 4,
        "no_rope_layers": [1, 1, 1, 0] * 9,
        "num_attention_heads": 16,
        "num_hidden_layers": 36,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 5000000.0,
        "sliding_window": None,
        "use_sliding_window": False,
        "vocab_size": 128256,
    },
)
STABLELM = Published(
    "stabilityai/stablelm-2-1_6b",
    1_644_515_328,
    {
        "model_type": "stablelm",
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 24,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.25,
        "rope_theta": 10000,
        "tie_word_embeddings": False,
        "use_qkv_bias": True,
        "vocab_size": 100352,
    },
)

ALL = [value for value in list(globals().values()) if isinstance(value, Published)]


def _read(published: Published, **changed: object) -> Decoder:
    config = {**published.config, **changed}
    spec = find(str(config["model_type"])).read(Config(config))
    assert isinstance(spec, Decoder)
    return spec


@pytest.mark.parametrize("published", ALL, ids=[published.name for published in ALL])
def test_the_parameters_are_as_many_as_published(published: Published) -> None:
    assert count(_read(published)) == published.parameters


def _attentions(spec: Decoder) -> list[Attention]:
    mixers = [layer.mixer for layer in spec.layers]
    return [mixer for mixer in mixers if isinstance(mixer, Attention)]


def test_a_stated_window_that_is_not_used_is_no_window() -> None:
    assert {a.reach for a in _attentions(_read(QWEN25))} == {Everything()}
    used = _read(QWEN25, use_sliding_window=True, max_window_layers=26)
    assert [a.reach for a in _attentions(used)][25:] == [Everything(), *[Window(131072)] * 2]


def test_yarn_switched_on_beside_an_untouched_context_stretches_it() -> None:
    law = {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}
    spec = _read(QWEN25, rope_scaling=law)
    rotary = _attentions(spec)[0].positions
    assert isinstance(rotary, Rotary)
    assert isinstance(rotary.scaling, YarnScaling)
    assert spec.context == 131072
    assert _read(QWEN25).context == 32768


def test_gemma_3_has_a_base_for_each_reach() -> None:
    attentions = _attentions(_read(GEMMA3))
    assert [a.reach for a in attentions[4:7]] == [Window(1024), Everything(), Window(1024)]
    assert attentions[4].positions == Rotary(10_000.0, 256)
    assert attentions[5].positions == Rotary(1_000_000.0, 256, scaling=LinearScaling(8.0))


def test_gemma_2_divides_scores_as_its_publisher_states() -> None:
    assert _attentions(_read(GEMMA2))[0].scale == pytest.approx(144**-0.5)
    assert {a.soft_cap for a in _attentions(_read(GEMMA2, attn_logit_softcapping=None))} == {None}


def test_phi_4_turns_three_quarters_of_a_head_by_one_of_two_lists() -> None:
    rotary = _attentions(_read(PHI4))[0].positions
    assert isinstance(rotary, Rotary)
    assert rotary.width == 96
    assert isinstance(rotary.scaling, LongRopeScaling)
    assert rotary.scaling.original == 4096
    assert rotary.scaling.attention == pytest.approx(1.1902380714238083)


def test_layers_without_positions() -> None:
    assert [a.positions is None for a in _attentions(_read(SMOLLM3))] == [0, 0, 0, 1] * 9
    command = _attentions(_read(COHERE2))
    assert [a.positions is None for a in command] == [0, 0, 0, 1] * 8
    assert [a.reach for a in command[2:4]] == [Window(4096), Everything()]


def test_command_r_was_trained_for_more_positions_than_it_first_states() -> None:
    assert _read(COHERE).context == 131072
    assert _read(COHERE, model_max_length=None).context == 8192


# What ggml's converter writes for a published configuration, where it differs from the common
# keys: head widths always, a window of zero for none, Gemma's scale of scores never.
GGUF_KEYS = [
    (
        GEMMA2,
        "gemma2",
        {
            "attention.key_length": 128,
            "attention.sliding_window": 4096,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        (),
    ),
    (
        GEMMA3,
        "gemma3",
        {
            "context_length": 131072,
            "attention.head_count": 8,
            "attention.head_count_kv": 4,
            "attention.key_length": 256,
            "attention.sliding_window": 1024,
            "rope.freq_base": 1e6,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
        (),
    ),
    (
        replace(PHI3, config={**PHI3.config, "rope_scaling": None, "sliding_window": None}),
        "phi3",
        {
            "attention.sliding_window": 0,
            "rope.dimension_count": 96,
            "rope.scaling.original_context_length": 4096,
        },
        ("output.weight",),
    ),
    (
        NEMOTRON,
        "nemotron",
        {
            "attention.key_length": 128,
            "attention.layer_norm_epsilon": 1e-5,
            "rope.dimension_count": 64,
            "rope.scaling.type": "none",
        },
        ("output.weight",),
    ),
    (
        replace(COHERE, config={**COHERE.config, "use_qk_norm": True}),
        "command-r",
        {
            "context_length": 131072,
            "attention.layer_norm_epsilon": 1e-5,
            "logit_scale": 0.0625,
            "rope.scaling.type": "none",
        },
        ("blk.0.attn_q_norm.weight",),
    ),
]


@pytest.mark.parametrize(
    ("published", "architecture", "keys", "tensors"), GGUF_KEYS, ids=[k[1] for k in GGUF_KEYS]
)
def test_gguf_keys_say_the_same_as_the_publisher(
    published: Published, architecture: str, keys: dict[str, object], tensors: tuple[str, ...]
) -> None:
    common = {key: published.config.get(name) for key, name in gguf.COMMON_KEYS.items()}
    common = {key: value for key, value in common.items() if value is not None}
    metadata = {f"{architecture}.{key}": value for key, value in {**common, **keys}.items()}
    metadata["general.architecture"] = architecture
    vocabulary = _read(published).vocabulary
    shapes = {"token_embd.weight": (vocabulary, 1), **dict.fromkeys(tensors, (1,))}
    config = gguf.configuration(metadata, shapes, lambda name: [])
    assert find(str(config["model_type"])).read(Config(config)) == _read(published)


def test_mimo_leaves_the_layers_for_further_tokens_aside() -> None:
    spec, dialect = _read(MIMO, num_hidden_layers=2), find("mimo")
    ours = [parameter.name for parameter in parameters(spec)]
    names = _written_by_qwen(2)
    further = [f"model.mtp_layers.0.{name.split('.', 3)[3]}" for name in names if ".0." in name]
    further += [
        f"model.mtp_layers.0.{norm}_layernorm.weight" for norm in ("token", "hidden", "final")
    ]
    further += ["model.mtp_layers.0.input_proj.weight"]
    assert len(further) == 16  # as many as the published file holds
    used = {name for each in assign(dialect.rules(spec), names, ours) for name in each.theirs}
    with_further = assign(dialect.rules(spec), names + further, ours)
    assert {name for each in with_further for name in each.theirs} == used == set(names)
    with pytest.raises(TensorMismatchError, match="mtp_layers"):
        assign(dialect.rules(spec), [*names, "model.mtp_layers.0.unknown.weight"], ours)


def _written_by_qwen(layers: int) -> list[str]:
    parts = [f"self_attn.{name}_proj.{leaf}" for name in "qkv" for leaf in ("weight", "bias")]
    parts += [
        "self_attn.o_proj.weight",
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
    ]
    parts += [f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")]
    inside = [f"model.layers.{layer}.{part}" for layer in range(layers) for part in parts]
    return ["model.embed_tokens.weight", *inside, "model.norm.weight", "lm_head.weight"]


REFUSED = [
    (QWEN25, {"layer_types": ["full_attention"] * 27}, "27 entries for 28 layers"),
    (QWEN25, {"layer_types": ["chunked_attention"] * 28}, "'chunked_attention'"),
    (QWEN25, {"layer_types": ["sliding_attention"] * 28}, "no 'sliding_window' is set"),
    (QWEN25, {"use_sliding_window": True, "sliding_window": None}, "'sliding_window'"),
    (QWEN3, {"rope_scaling": {"type": "spiral", "factor": 2.0}}, "type"),
    (GEMMA3, {"attn_logit_softcapping": 50.0}, "belongs to Gemma 2"),
    (GEMMA3, {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, "not as one"),
    (GEMMA, {"hidden_act": "wave"}, "hidden_act"),
    (PHI2, {"tie_word_embeddings": True}, "its own bias"),
    (PHI3, {"attention_bias": True}, "'attention_bias'"),
    (PHI3, {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "YaRN"),
    (PHI3, {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "YaRN"),
    (PHI3, {"partial_rotary_factor": 0.5}, "48 factors cannot scale 24 pairs"),
    (OLMO2, {"sliding_window": 4096}, "OLMo 3"),
    (COHERE2, {"use_qk_norm": True}, "'use_qk_norm'"),
    (COHERE, {"logit_scale": 0}, "'logit_scale'"),
    (GRANITE, {"residual_multiplier": "large"}, "'residual_multiplier'"),
    (NEMOTRON, {"partial_rotary_factor": 1.5}, "between 0 and 1"),
    (SMOLLM3, {"no_rope_layers": [1, 0]}, "0 or 1 for each of 36 layers"),
    (SMOLLM3, {"no_rope_layers": [2] * 36}, "0 or 1 for each of 36 layers"),
    (ERNIE, {"use_bias": "no"}, "'use_bias'"),
    (STABLELM, {"use_parallel_residual": 1}, "'use_parallel_residual'"),
]


@pytest.mark.parametrize(
    ("published", "changed", "complaint"),
    REFUSED,
    ids=[f"{case[0].name}-{'-'.join(case[1])}" for case in REFUSED],
)
def test_what_is_not_understood_is_refused(
    published: Published, changed: dict[str, object], complaint: str
) -> None:
    """The accepted twin of each is the published configuration itself, read above."""
    with pytest.raises(ConfigError, match=complaint):
        _read(published, **changed)
