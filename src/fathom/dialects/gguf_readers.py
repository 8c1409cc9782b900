"""How GGUF writes the architectures that read whole texts: BERT, and T5's two stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.dialects.gguf_spelling import Shapes, Spelling
from fathom.dialects.rules import Rule, drop, rename

Values = Mapping[str, object]


def _bert(config: Values, shapes: Shapes) -> Values:
    """Return how many token types there are: DistilBERT, written under this name too, has none."""
    return {"type_vocab_size": shapes.get("token_types.weight", (0,))[0]}


def _t5(config: Values, shapes: Shapes) -> Values:
    """Return the feed-forward, which is gated from version 1.1 on."""
    gated = "enc.blk.0.ffn_gate.weight" in shapes
    return {"feed_forward_proj": "gated-gelu" if gated else "relu"}


SPELLINGS: Mapping[str, Spelling] = {
    "bert": Spelling(
        "bert",
        {"attention.layer_norm_epsilon": "layer_norm_eps"},
        derive=_bert,
        also=("distilbert",),
    ),
    "t5": Spelling(
        "t5",
        {
            "context_length": "n_positions",
            "embedding_length": "d_model",
            "feed_forward_length": "d_ff",
            "block_count": "num_layers",
            "decoder_block_count": "num_decoder_layers",
            "attention.head_count": "num_heads",
            "attention.key_length": "d_kv",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
            "attention.relative_buckets_count": "relative_attention_num_buckets",
            "decoder_start_token_id": "decoder_start_token_id",
        },
        derive=_t5,
    ),
}

TENSORS: tuple[Rule, ...] = (
    rename("token_types", "embedding.token_types"),
    rename("blk.{layer}.attn_output_norm", "layers.{layer}.mixer_residual.closing"),
    rename("blk.{layer}.layer_output_norm", "layers.{layer}.feed_forward_residual.closing"),
)


def _stack(theirs: str, ours: str) -> Sequence[Rule]:
    """Return the names of one of T5's stacks; its first layer holds the scores of distances."""
    block, layer = f"{theirs}.blk.{{layer}}", f"{ours}.layers.{{layer}}"
    names = {"q": "query", "k": "key", "v": "value", "o": "output"}
    return (
        *(rename(f"{block}.attn_{key}", f"{layer}.mixer.{own}") for key, own in names.items()),
        *(
            rename(f"{block}.cross_attn_{key}", f"{layer}.cross.{own}")
            for key, own in names.items()
        ),
        rename(f"{block}.attn_norm", f"{layer}.mixer_residual.before"),
        rename(f"{block}.cross_attn_norm", f"{layer}.cross_residual.before"),
        rename(f"{block}.ffn_norm", f"{layer}.feed_forward_residual.before"),
        rename(f"{block}.ffn_gate", f"{layer}.feed_forward.gate"),
        rename(f"{block}.ffn_up", f"{layer}.feed_forward.up"),
        rename(f"{block}.ffn_down", f"{layer}.feed_forward.down"),
        rename(f"{theirs}.blk.0.attn_rel_b", f"{ours}.distances.scores"),
        drop(f"{block}.cross_attn_rel_b"),  # where a source stands is not looked at
        rename(f"{theirs}.output_norm", f"{ours}.norm"),
    )


PAIR_TENSORS: tuple[Rule, ...] = (
    rename("token_embd", "encoder.embedding.tokens"),
    *_stack("enc", "encoder"),
    *_stack("dec", "decoder"),
)
