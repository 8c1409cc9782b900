"""OPT and BioGPT."""

from parity.case import Case

SMALL = {
    "vocab_size": 99,
    "hidden_size": 48,
    "ffn_dim": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
BIOGPT = {
    "vocab_size": 99,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}

CASES = [
    Case("opt", "norm-first", SMALL),
    Case("opt", "350m", {**SMALL, "do_layer_norm_before": False, "word_embed_proj_dim": 20}),
    Case("opt", "350m-untied", {**SMALL, "word_embed_proj_dim": 20, "tie_word_embeddings": False}),
    Case("opt", "no-biases", {**SMALL, "enable_bias": False}),
    Case("opt", "plain-norms", {**SMALL, "layer_norm_elementwise_affine": False}),
    Case("opt", "no-last-norm", {**SMALL, "_remove_final_layer_norm": True}),
    Case("opt", "gelu", {**SMALL, "activation_function": "gelu"}),
    Case("biogpt", "plain", BIOGPT),
    Case("biogpt", "unscaled", {**BIOGPT, "scale_embedding": False, "hidden_act": "relu"}),
    Case("biogpt", "untied", {**BIOGPT, "tie_word_embeddings": False}),
]
