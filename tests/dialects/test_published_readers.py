"""Encoders and pairs of stacks as published, with the number of parameters that was stated.

The keys are those of the files on the hub when each model appeared; what says nothing about the
model (token ids, dropout, versions) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from fathom.dialects.config import Config
from fathom.dialects.dialect import find
from fathom.errors import ConfigError
from fathom.spec.attention import Everything, Window
from fathom.spec.classes import model_class, model_outputs
from fathom.spec.encoder import Encoder
from fathom.spec.parts import count


@dataclass(frozen=True)
class Published:
    """A configuration, its class and its parameters; `more` are tensors not counted as such."""

    name: str
    model_class: str
    parameters: int
    config: Mapping[str, object]
    more: int = 0


BERT = {
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
ROBERTA = {
    **BERT,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "architectures": ["RobertaForMaskedLM"],
    "model_type": "roberta",
    "vocab_size": 50265,
}
MODERNBERT = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_pooling": "mean",
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-05,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "position_embedding_type": "absolute",
    "vocab_size": 50368,
}
T5 = {
    "architectures": ["T5ForConditionalGeneration"],
    "d_ff": 2048,
    "d_kv": 64,
    "d_model": 512,
    "decoder_start_token_id": 0,
    "is_encoder_decoder": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "n_positions": 512,
    "num_heads": 8,
    "num_layers": 6,
    "relative_attention_num_buckets": 32,
    "vocab_size": 32128,
}
BART = {
    "_num_labels": 3,
    "activation_function": "gelu",
    "add_final_layer_norm": False,
    "architectures": ["BartForConditionalGeneration"],
    "d_model": 1024,
    "decoder_attention_heads": 16,
    "decoder_ffn_dim": 4096,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "encoder_layers": 12,
    "is_encoder_decoder": True,
    "max_position_embeddings": 1024,
    "model_type": "bart",
    "normalize_before": False,
    "scale_embedding": False,
    "vocab_size": 50264,
}
MARIAN = {
    **BART,
    "activation_function": "swish",
    "architectures": ["MarianMTModel"],
    "d_model": 512,
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048,
    "decoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "encoder_layers": 6,
    "max_position_embeddings": 512,
    "model_type": "marian",
    "normalize_embedding": False,
    "scale_embedding": True,
    "static_position_embeddings": True,
    "vocab_size": 58101,
}
MODELS = [
    Published(
        "google-bert/bert-base-uncased",
        "MLM",
        109_514_298,
        {**BERT, "architectures": ["BertForMaskedLM"]},
    ),
    Published(
        "BAAI/bge-base-en-v1.5", "embedding", 109_482_240, {**BERT, "architectures": ["BertModel"]}
    ),
    Published(
        "cross-encoder/ms-marco-MiniLM-L-6-v2",
        "reranker",
        22_713_601,
        {
            **BERT,
            "architectures": ["BertForSequenceClassification"],
            "hidden_size": 384,
            "id2label": {"0": "LABEL_0"},
            "intermediate_size": 1536,
            "num_hidden_layers": 6,
            "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
        },
    ),
    Published("FacebookAI/roberta-base", "MLM", 124_697_433, ROBERTA),
    Published(
        "FacebookAI/xlm-roberta-base",
        "MLM",
        278_295_186,
        {
            **ROBERTA,
            "architectures": ["XLMRobertaForMaskedLM"],
            "model_type": "xlm-roberta",
            "vocab_size": 250002,
        },
    ),
    Published(
        "distilbert/distilbert-base-uncased",
        "MLM",
        66_985_530,
        {
            "activation": "gelu",
            "architectures": ["DistilBertForMaskedLM"],
            "dim": 768,
            "hidden_dim": 3072,
            "max_position_embeddings": 512,
            "model_type": "distilbert",
            "n_heads": 12,
            "n_layers": 6,
            "sinusoidal_pos_embds": False,
            "tie_weights_": True,
            "vocab_size": 30522,
        },
    ),
    Published("answerdotai/ModernBERT-base", "MLM", 149_655_232, MODERNBERT),
    Published("google-t5/t5-small", "seq2seq", 60_506_624, T5),
    Published(
        "google/flan-t5-base",
        "seq2seq",
        247_577_856,
        {
            **T5,
            "d_model": 768,
            "feed_forward_proj": "gated-gelu",
            "is_gated_act": True,
            "num_decoder_layers": 12,
            "num_heads": 12,
            "num_layers": 12,
            "relative_attention_max_distance": 128,
            "tie_word_embeddings": False,
        },
    ),
    Published(
        "google/mt5-small",
        "seq2seq",
        300_176_768,
        {
            **T5,
            "architectures": ["MT5ForConditionalGeneration"],
            "d_ff": 1024,
            "feed_forward_proj": "gated-gelu",
            "model_type": "mt5",
            "num_decoder_layers": 8,
            "num_heads": 6,
            "num_layers": 8,
            "tie_word_embeddings": False,
            "vocab_size": 250112,
        },
    ),
    # A bias per token of the output is a buffer in the publishers' counts, and a tensor here.
    Published("facebook/bart-large-cnn", "seq2seq", 406_290_432, BART, more=50_264),
    # They count the waves of both stacks too, 2 × 512 × 512; here these are computed.
    Published(
        "Helsinki-NLP/opus-mt-en-de", "seq2seq", 74_410_496, MARIAN, more=58_101 - 2 * 512 * 512
    ),
]


@pytest.mark.parametrize("published", MODELS, ids=lambda published: published.name)
def test_a_published_configuration_gives_the_stated_model(published: Published) -> None:
    spec = find(str(published.config["model_type"])).read(Config(published.config))
    assert count(spec) == published.parameters + published.more
    assert model_class(spec)[0] == published.model_class
    assert model_outputs(spec)


def test_modernbert_alternates() -> None:
    spec = find("modernbert").read(Config(MODERNBERT))
    assert isinstance(spec, Encoder)
    mixers = [layer.mixer for layer in spec.layers]
    assert [mixer.reach for mixer in mixers[:4]] == [
        Everything(),
        Window(65),
        Window(65),
        Everything(),
    ]
    assert [mixer.positions.base for mixer in mixers[:2]] == [160_000.0, 10_000.0]


REFUSED = [
    ({**BERT, "architectures": ["BertForMultipleChoice"]}, "'BertForMultipleChoice'"),
    ({**BERT, "position_embedding_type": "relative_key"}, "relative_key"),
    ({**BERT, "is_decoder": True}, "is_decoder"),
    ({**BERT, "num_attention_heads": 7}, "7 heads"),
    ({**BERT, "hidden_act": "mish"}, "mish"),
    (
        {**BERT, "architectures": ["BertForTokenClassification"], "id2label": {"1": "a"}},
        "id2label",
    ),
    (
        {
            **BERT,
            "architectures": ["BertForSequenceClassification"],
            "problem_type": "ranking",
        },
        "ranking",
    ),
    ({**MODERNBERT, "layer_types": ["full_attention"]}, "layer_types"),
    (
        {
            **MODERNBERT,
            "architectures": ["ModernBertForSequenceClassification"],
            "classifier_pooling": "max",
        },
        "max",
    ),
    ({**T5, "feed_forward_proj": "gated-mish"}, "gated-mish"),
    ({**T5, "relative_attention_max_distance": 16}, "relative_attention_max_distance"),
    ({**BART, "architectures": ["BartForSequenceClassification"]}, "BartForSequenceClass"),
    ({**BART, "normalize_before": True}, "normalize_before"),
    ({**MARIAN, "static_position_embeddings": False}, "static_position_embeddings"),
]


@pytest.mark.parametrize(("config", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_is_not_supported_is_refused_by_name(config: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        find(str(config["model_type"])).read(Config(config))
