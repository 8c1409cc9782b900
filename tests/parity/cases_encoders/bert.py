"""BERT, RoBERTa, XLM-RoBERTa and DistilBERT."""

from __future__ import annotations

from parity.encoder_case import EncoderCase

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "type_vocab_size": 3,
    "layer_norm_eps": 1e-6,
}
FIVE = {"id2label": {i: f"label {i}" for i in range(5)}}
DISTILLED = {
    "vocab_size": 99,
    "dim": 48,
    "hidden_dim": 80,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 40,
}
POOLER = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
REST = ("cls.seq_relationship.weight", "cls.seq_relationship.bias", *POOLER)


def _every_head(model_type: str, name: str, small: dict[str, object]) -> list[EncoderCase]:
    return [
        EncoderCase(model_type, "tied", f"{name}ForMaskedLM", small),
        EncoderCase(model_type, "relu", f"{name}ForMaskedLM", {**small, "hidden_act": "relu"}),
        EncoderCase(
            model_type,
            "untied",
            f"{name}ForMaskedLM",
            {**small, "tie_word_embeddings": False},
            # A bias that the reference makes, keeps beside the output's own and never reads.
            lost=("cls.predictions.bias", "lm_head.bias"),
        ),
        EncoderCase(model_type, "labels", f"{name}ForSequenceClassification", {**small, **FIVE}),
        EncoderCase(
            model_type, "score", f"{name}ForSequenceClassification", {**small, "num_labels": 1}
        ),
        EncoderCase(model_type, "labels", f"{name}ForTokenClassification", {**small, **FIVE}),
        EncoderCase(model_type, "span", f"{name}ForQuestionAnswering", small),
    ]


CASES = [
    EncoderCase("bert", "pooled", "BertModel", SMALL),
    EncoderCase("bert", "bare", "BertModel", SMALL, pooler=False, gguf=True),
    EncoderCase("bert", "gelu-new", "BertModel", {**SMALL, "hidden_act": "gelu_new"}),
    EncoderCase("bert", "both", "BertForPreTraining", SMALL, lost=REST),
    *_every_head("bert", "Bert", SMALL),
    EncoderCase("roberta", "pooled", "RobertaModel", SMALL),
    EncoderCase("roberta", "bare", "RobertaModel", SMALL, pooler=False),
    EncoderCase("roberta", "padding", "RobertaModel", {**SMALL, "pad_token_id": 3}),
    *_every_head("roberta", "Roberta", {**SMALL, "type_vocab_size": 1}),
    EncoderCase("xlm-roberta", "pooled", "XLMRobertaModel", SMALL),
    *_every_head("xlm-roberta", "XLMRoberta", SMALL),
    EncoderCase("distilbert", "hidden", "DistilBertModel", DISTILLED, gguf=True),
    EncoderCase(
        "distilbert", "waves", "DistilBertModel", {**DISTILLED, "sinusoidal_pos_embds": True}
    ),
    EncoderCase("distilbert", "relu", "DistilBertForMaskedLM", {**DISTILLED, "activation": "relu"}),
    *(
        case
        for case in _every_head("distilbert", "DistilBert", DISTILLED)
        if case.label != "relu"  # its key is another
    ),
]
