"""Tiny autoencoders, distilled from large ones: TAESD and its siblings (madebyollin/taesd).

As diffusers configures and names them; how their author keeps them is in `taesd.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.pyramid import read_widths
from fathom.dialects.rules import Rule, rename
from fathom.spec.autoencoder import Autoencoder, Step, TinyBlock, TinyNetwork
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Convolution, convolution
from fathom.spec.pyramid import Doubling

SIZE = 512  # of the pictures that the author shows
MOST_BLOCKS = 1000


def read(config: Config) -> Autoencoder:
    """Return the autoencoder that a configuration, or a file without one, states."""
    down = read_widths(config, "encoder_block_out_channels", (64,) * 4)
    up = read_widths(config, "decoder_block_out_channels", (64,) * 4)
    for key, widths in (("encoder", down), ("decoder", up)):
        config.require(len(set(widths)) == 1, f"'{key}_block_out_channels' must be alike")
    falling = _counts(config, "num_encoder_blocks", (1, 3, 3, 3), len(down))
    rising = _counts(config, "num_decoder_blocks", (3, 3, 3, 1), len(up))
    config.choice("upsample_fn", ("nearest",), "nearest")
    config.require(
        config.integer("upsampling_scaling_factor", 2) == 2 and len(down) == len(up),
        "the decoder must double as often as the encoder halves",
    )
    channels, latents = config.integer("in_channels", 3), config.integer("latent_channels", 4)
    config.require(
        config.integer("out_channels", 3) == channels, "'out_channels' is not 'in_channels'"
    )
    activation = config.activation("act_fn", "relu")
    return Autoencoder(
        channels,
        latents,
        2 ** (len(down) - 1),
        SIZE,
        encoder(channels, latents, down[0], falling, activation),
        decoder(channels, latents, up[0], rising, activation),
        scale=config.number("scaling_factor", 1.0, positive=True),
        shift=config.number("shift_factor", 0.0),
    )


def _counts(config: Config, key: str, default: tuple[int, ...], levels: int) -> tuple[int, ...]:
    stated = config.items(key, default)
    config.require(len(stated) == levels, f"'{key}' needs a number for each of {levels} levels")
    return tuple(
        Config({key: each}, config.where).integer(key, least=0, most=MOST_BLOCKS) for each in stated
    )


def encoder(
    channels: int,
    latents: int,
    width: int,
    counts: tuple[int, ...],
    activation: Activation,
    coarsest: TinyBlock | None = None,
) -> TinyNetwork:
    block = TinyBlock(width, activation)
    steps: list[Step] = []
    for level, count in enumerate(counts):
        halving = convolution(width, width, stride=2, bias=False)
        steps.append(halving if level else convolution(channels, width))
        last = level == len(counts) - 1
        steps += [coarsest if last and coarsest else block] * count
    return TinyNetwork((*steps, convolution(width, latents)))


def decoder(
    channels: int,
    latents: int,
    width: int,
    counts: tuple[int, ...],
    activation: Activation,
    coarsest: TinyBlock | None = None,
) -> TinyNetwork:
    block = TinyBlock(width, activation)
    steps: list[Step] = [convolution(latents, width)]
    for level, count in enumerate(counts):
        steps += [coarsest if not level and coarsest else block] * count
        if level < len(counts) - 1:
            steps.append(Doubling(width, width, bias=False))
    return TinyNetwork((*steps, convolution(width, channels)), activation)


def rules(spec: Autoencoder) -> Sequence[Rule]:
    """Return the names in a safetensors file, and ours."""
    return (*network_rules(spec, "encoder", "layers."), *network_rules(spec, "decoder", "layers."))


def network_rules(spec: Autoencoder, half: str, within: str = "", first: int = 0) -> Iterator[Rule]:
    """Yield the names of a half, whose modules are numbered from `first` on."""
    network = spec.parts()[half]
    if not isinstance(network, TinyNetwork):
        raise TypeError(f"the {half} is no row of tiny blocks")
    for index, place in enumerate(_places(network, first)):
        theirs, ours = f"{half}.{within}{place}", f"{half}.steps.{index}"
        match network.steps[index]:
            case TinyBlock():
                for number in range(3):
                    yield rename(f"{theirs}.conv.{2 * number}", f"{ours}.convolutions.{number}")
                for number, name in ((0, "widen"), (1, "norm"), (3, "narrow")):
                    yield rename(f"{theirs}.pool.{number}", f"{ours}.pooled.{name}")
            case Doubling():
                yield rename(theirs, f"{ours}.convolution")
            case Convolution():
                yield rename(theirs, ours)


def _places(network: TinyNetwork, first: int) -> Iterator[int]:
    """Yield where each step stands in their row, which counts activations and enlargements."""
    place = first
    for index, step in enumerate(network.steps):
        place += isinstance(step, Doubling)
        yield place
        place += 1 + (index == 0 and network.activation is not None)


DIALECT = Dialect("AutoencoderTiny", read, rules, weights="diffusion_pytorch_model")
