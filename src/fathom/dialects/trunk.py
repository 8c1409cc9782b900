"""What most decoders share, whoever published them: dimensions, reach by layer, tensor names.

A dialect asks for these and says what it does otherwise. The dimensions make the plain parts of
a Llama-like model; `dataclasses.replace` turns one into a variant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fathom.dialects.config import Config
from fathom.dialects.rotary import stretched
from fathom.dialects.rules import Rule, Step, drop, rename, split
from fathom.spec.attention import Attention, Everything, Reach, Window
from fathom.spec.decoder import Decoder, Embedding, Layer, Output
from fathom.spec.feed_forward import GatedMlp
from fathom.spec.parts import Norm
from fathom.spec.positions import Alibi, Rotary


@dataclass(frozen=True)
class Dimensions:
    """The sizes that nearly every configuration states, under the names of most publishers."""

    width: int
    heads: int
    kv_heads: int
    head_width: int
    layers: int
    vocabulary: int
    context: int  # positions

    def attention(self, positions: Rotary | Alibi | None = None) -> Attention:
        """Return attention of these sizes, with nothing unusual about it."""
        return Attention(self.width, self.heads, self.kv_heads, self.head_width, positions)

    def decoder(
        self, layers: Iterable[Layer], norm: Norm, *, tied: bool, rotary: Rotary | None = None
    ) -> Decoder:
        """Return the decoder of these layers; `rotary` may stretch its context."""
        return Decoder(
            context=self.context if rotary is None else stretched(self.context, rotary),
            embedding=Embedding(self.vocabulary, self.width),
            layers=tuple(layers),
            norm=norm,
            output=Output(self.width, self.vocabulary, tied=tied),
        )


def read_dimensions(config: Config, *, context: int = 2048) -> Dimensions:
    """Return the sizes that a configuration states; `context` where it states none.

    Raises:
        ConfigError: for a size that is missing or out of range, or heads that do not share evenly.
    """
    width = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", heads)
    config.require(heads % kv_heads == 0, f"{kv_heads} key heads cannot share {heads} heads evenly")
    return Dimensions(
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=config.integer("head_dim", width // heads),
        layers=config.integer("num_hidden_layers", most=10_000),
        vocabulary=config.integer("vocab_size"),
        context=config.integer("max_position_embeddings", context),
    )


def with_defaults(config: Config, defaults: Mapping[str, object]) -> Config:
    """Return a configuration with `defaults` for the keys that it leaves out.

    A key that is stated as null stays null: publishers switch things off so.
    """
    return Config({**defaults, **config.values}, config.where)


FULL, SLIDING = "full_attention", "sliding_attention"


def read_reaches(
    config: Config, layers: int, window: int | None, slides: Callable[[int], bool]
) -> tuple[Reach, ...]:
    """Return how far each layer sees: as ``layer_types`` says, else as `slides` does by number.

    Without a `window` every layer sees everything, and a layer that should slide is refused.

    Raises:
        ConfigError: for kinds that are unknown, too few, or slide without a window.
    """
    if "layer_types" in config:
        kinds = config.items("layer_types")
        config.require(
            len(kinds) == layers, f"'layer_types' has {len(kinds)} entries for {layers} layers"
        )
        for kind in kinds:
            config.require(
                kind in (FULL, SLIDING),
                f"'layer_types' holds {kind!r}; known are {FULL} and {SLIDING}",
            )
        sliding = [kind == SLIDING for kind in kinds]
    else:
        sliding = [window is not None and slides(index) for index in range(layers)]
    if window is None:
        config.require(not any(sliding), "'layer_types' slides, but no 'sliding_window' is set")
        return (Everything(),) * layers
    return tuple(Window(window) if slide else Everything() for slide in sliding)


class Writing(Protocol):
    """A decoder, whatever its layers look at."""

    @property
    def output(self) -> Output: ...


def trunk_rules(spec: Writing, *own: Rule, norms: Sequence[Step] = ()) -> tuple[Rule, ...]:
    """Return the names that most publishers use in a safetensors file, and ours.

    A dialect's `own` rules come first, so they win where a name means something else; `norms`
    are steps on every norm's weight. Rules of parts that a spec lacks do nothing.
    """
    theirs, ours = "model.layers.{layer}", "layers.{layer}"
    before, then = f"{ours}.mixer_residual.before", f"{ours}.feed_forward_residual.before"
    return (
        *own,
        rename("model.embed_tokens", "embedding.tokens"),
        *norm_rules(f"{theirs}.input_layernorm", before, norms),
        rename(f"{theirs}.self_attn.q_proj", f"{ours}.mixer.query"),
        rename(f"{theirs}.self_attn.k_proj", f"{ours}.mixer.key"),
        rename(f"{theirs}.self_attn.v_proj", f"{ours}.mixer.value"),
        *norm_rules(f"{theirs}.self_attn.q_norm", f"{ours}.mixer.query_norm", norms),
        *norm_rules(f"{theirs}.self_attn.k_norm", f"{ours}.mixer.key_norm", norms),
        rename(f"{theirs}.self_attn.o_proj", f"{ours}.mixer.output"),
        drop(f"{theirs}.self_attn.rotary_emb.inv_freq"),  # computed from the base
        *norm_rules(f"{theirs}.post_attention_layernorm", then, norms),
        rename(f"{theirs}.mlp.gate_proj", f"{ours}.feed_forward.gate"),
        rename(f"{theirs}.mlp.up_proj", f"{ours}.feed_forward.up"),
        rename(f"{theirs}.mlp.down_proj", f"{ours}.feed_forward.down"),
        *norm_rules("model.norm", "norm", norms),
        drop("lm_head") if spec.output.tied else rename("lm_head", "output.head"),
    )


def norm_rules(theirs: str, ours: str, steps: Sequence[Step] = ()) -> tuple[Rule, ...]:
    """Return the rules of one norm, `steps` on its weight only; a bias is stored as it is."""
    return (
        rename(f"{theirs}.weight", f"{ours}.weight", *steps),
        rename(f"{theirs}.bias", f"{ours}.bias"),
    )


def fused_attention(theirs: str, spec: Decoder, *before: Step, groups: int = 1) -> Rule:
    """Return the rule of one map that holds query, key and value, in this order.

    With `groups` its rows are so many blocks, each with a share of all three: one block per head
    in GPT-NeoX and BLOOM, per key head in Falcon.
    """
    mixer = spec.mixer(Attention)
    ours = "layers.{layer}.mixer"
    sizes = {
        f"{ours}.query": mixer.heads * mixer.head_width,
        f"{ours}.key": mixer.kv_heads * mixer.head_width,
        f"{ours}.value": mixer.kv_heads * mixer.head_width,
    }
    return split(theirs, sizes, *before, groups=groups)


def fused_gguf_rules(spec: Decoder) -> Sequence[Rule]:
    """GGUF stores all query rows, then all key rows, then all value rows, whoever published."""
    return (fused_attention("blk.{layer}.attn_qkv", spec),)


def fused_gate(theirs: str, spec: Decoder) -> Rule:
    """Return the rule of one map that holds gate and up, in this order."""
    parts = (layer.feed_forward for layer in spec.layers)
    inner = next(part.inner for part in parts if isinstance(part, GatedMlp))
    ours = "layers.{layer}.feed_forward"
    return split(theirs, {f"{ours}.gate": inner, f"{ours}.up": inner})
