"""BLOOM and MPT: linear attention biases."""

from parity.case import Case

SMALL = {"vocab_size": 99, "hidden_size": 48, "n_layer": 2, "n_head": 4}
MPT = {"vocab_size": 99, "d_model": 48, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}


def _mpt(label: str, model: dict[str, object], **attention: object) -> Case:
    """Return a case of MPT; GGUF has keys for two of its attention's."""
    clip = attention.get("clip_qkv")
    keys = {"attention.max_alibi_bias": 8.0, **({"attention.clamp_kqv": clip} if clip else {})}
    held = "" if "softmax_scale" in attention else "ours"
    config = {**MPT, **model, "attn_config": attention}
    return Case("mpt", label, config, gguf=held, gguf_keys=keys)


CASES = [
    Case("bloom", "plain", SMALL, gguf="transformers"),
    Case("bloom", "six-heads", {**SMALL, "n_head": 6}, gguf="transformers"),
    Case("bloom", "untied", {**SMALL, "tie_word_embeddings": False}, gguf="ours"),
    Case("bloom", "epsilon", {**SMALL, "layer_norm_epsilon": 0.1}),
    _mpt("plain", {}),
    _mpt("six-heads", {"n_heads": 6}),
    _mpt("clip", {}, clip_qkv=0.6),
    _mpt("scale", {"layer_norm_epsilon": 0.1}, softmax_scale=0.7),
    _mpt("untied", {"tie_word_embeddings": False}),
]
