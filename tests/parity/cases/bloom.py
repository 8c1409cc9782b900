"""BLOOM and MPT: linear attention biases."""

from parity.case import Case

SMALL = {"vocab_size": 99, "hidden_size": 48, "n_layer": 2, "n_head": 4}
MPT = {"vocab_size": 99, "d_model": 48, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}


def _mpt(label: str, model: dict[str, object], **attention: object) -> Case:
    return Case("mpt", label, {**MPT, **model, "attn_config": attention})


CASES = [
    Case("bloom", "plain", SMALL),
    Case("bloom", "six-heads", {**SMALL, "n_head": 6}),
    Case("bloom", "untied", {**SMALL, "tie_word_embeddings": False}),
    Case("bloom", "epsilon", {**SMALL, "layer_norm_epsilon": 0.1}),
    _mpt("plain", {}),
    _mpt("six-heads", {"n_heads": 6}),
    _mpt("clip", {}, clip_qkv=0.6),
    _mpt("scale", {"layer_norm_epsilon": 0.1}, softmax_scale=0.7),
    _mpt("untied", {"tie_word_embeddings": False}),
]
