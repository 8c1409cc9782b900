"""What native steps refuse, each beside a twin that they express."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fathom.programs.lowering_decoder import lower, why_not
from fathom.programs.lowering_pair import lower_look, lower_reader, lower_writer
from fathom.programs.recurrent_steps import WIDEST_CONVOLUTION
from fathom.spec.attention import Attention, Chunk, Window
from fathom.spec.decoder import Decoder, Embedding, Layer, Mixer, Output, Residual
from fathom.spec.encoder import Encoder
from fathom.spec.encoder_decoder import CrossAttention, CrossLayer, Stack
from fathom.spec.encoder_decoder import EncoderDecoder as Pair
from fathom.spec.feed_forward import Mlp
from fathom.spec.heads import Head, SummaryHead, TokenHead, Transform
from fathom.spec.parts import Bare, Norm
from fathom.spec.roles import Role
from fathom.spec.state_space import Convolution, Mamba

WIDTH = 16
PLAIN = Embedding(20, WIDTH)


def decoder(mixer: Mixer, embedding: Embedding = PLAIN) -> Decoder:
    layer = Layer(mixer, Residual(Norm(WIDTH, 1e-5)), None)
    return Decoder(32, embedding, (layer,), None, Output(WIDTH, 20))


def mamba(kernel: int) -> Mamba:
    return Mamba(WIDTH, WIDTH, 4, 2, Convolution(WIDTH, kernel))


def encoder(reach: Window | Chunk, head: Head | None = None) -> Encoder:
    attention = Attention(WIDTH, 2, 2, 8, reach=reach, causal=False)
    layer = Layer(attention, Residual(), Mlp(WIDTH, 32, "gelu"))
    return Encoder(32, Embedding(20, WIDTH), (layer,), head=head)


ATTENTION = Attention(WIDTH, 2, 2, 8)
SUMMARY, TAGS = SummaryHead(Transform(WIDTH, "tanh")), TokenHead(WIDTH, ("a", "b"))


@pytest.mark.parametrize(
    ("refused", "expressed", "reason"),
    [
        (mamba(WIDEST_CONVOLUTION + 1), mamba(WIDEST_CONVOLUTION), "layers.0: a convolution"),
        (replace(ATTENTION, head_width=513), ATTENTION, "layers.0: heads of 513"),
    ],
    ids=["convolution", "heads"],
)
def test_mixers_beyond_the_kernels_are_refused(
    refused: Mixer, expressed: Mixer, reason: str
) -> None:
    assert why_not(decoder(expressed)) is None
    assert (why_not(decoder(refused)) or "").startswith(reason)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [(encoder(Chunk(4)), "one way"), (encoder(Window(4), TAGS), "TokenHead")],
    ids=["chunks", "head"],
)
def test_encoders_give_hidden_states_of_texts_seen_both_ways(refused: Encoder, reason: str) -> None:
    assert why_not(encoder(Window(4), SUMMARY)) is None
    assert reason in (why_not(refused) or "")


def test_layers_that_keep_nothing_share_their_pages() -> None:
    one = encoder(Window(4))
    many = replace(one, layers=one.layers * 5)
    assert lower(many).pools == lower(one).pools
    deep = decoder(ATTENTION)
    deeper = lower(replace(deep, layers=deep.layers * 5))
    assert deeper.pools[0].page_bytes == 5 * lower(deep).pools[0].page_bytes


CROSS = CrossAttention(WIDTH, 2, 8)
JOINED, GATED = Residual(), Residual(gate=Bare((1,), Role.DENSE))


def pair(cross: CrossAttention = CROSS, residual: Residual = JOINED, **parts: object) -> Pair:
    feed = Mlp(WIDTH, 32, "gelu")
    reading = Layer(replace(ATTENTION, causal=False), Residual(), feed)
    writing = CrossLayer(ATTENTION, residual, cross, residual, feed, residual)
    stacks = {"encoder": reading, "decoder": writing, **parts}
    encoder, decoder = (Stack(PLAIN, (stacks[name],)) for name in ("encoder", "decoder"))  # type: ignore[arg-type]
    return Pair(32, encoder, decoder, Output(WIDTH, 20))


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (pair(replace(CROSS, query_norm=Norm(8, 1e-5))), "decoder.layers.0: heads that look"),
        (pair(replace(CROSS, head_width=513)), "decoder.layers.0: heads of 513"),
        (pair(residual=GATED), "decoder.layers.0: what a part adds is scaled"),
        (pair(decoder=Layer(ATTENTION, Residual(), None)), "does not look at what was read"),
        (pair(encoder=pair().decoder.layers[0]), "encoder.layers.0: a layer that reads looks"),
    ],
    ids=["norms", "width", "gate", "alone", "reading"],
)
def test_pairs_beyond_the_kernels_are_refused(refused: Pair, reason: str) -> None:
    assert why_not(pair()) is None
    assert reason in (why_not(refused) or "")


def test_sources_of_all_layers_lie_in_pages_of_their_own() -> None:
    spec = pair()
    deep = replace(spec, decoder=replace(spec.decoder, layers=spec.decoder.layers * 3))
    reader, writer = lower_reader(deep), lower_writer(deep)
    assert [pool for pool in reader.pools if pool.source] == [
        pool for pool in writer.pools if pool.source
    ]
    assert writer.source_bytes(33) == 3 * lower_writer(spec).source_bytes(33)
    assert lower_look(deep, [(1, 0)], 40).pools == writer.pools
    assert writer.page_bytes(33, 1) + writer.source_bytes(33) == sum(
        pool.pages(33, 33) * pool.page_bytes for pool in writer.pools
    )
