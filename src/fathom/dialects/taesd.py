"""Tiny autoencoders as their author keeps them: a file for each half, no configuration.

madebyollin/taesd. Blocks of newer ones look wider first where latents are: told by the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.dialects.autoencoder_tiny import SIZE, decoder, encoder, network_rules
from fathom.dialects.config import Config
from fathom.dialects.dialect import Dialect
from fathom.dialects.rules import Rule
from fathom.spec.autoencoder import Autoencoder, Pooled, TinyBlock

WIDTH = 64
FIRST = "decoder.1.weight"  # from latents to the first planes


def configuration(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, object] | None:
    """Return a configuration for tensors of these shapes; None where they are others."""
    shape = shapes.get(FIRST, ())
    if len(shape) != 4 or shape[0] != WIDTH:
        return None
    return {"model_type": "taesd", "latent_channels": shape[1]}


def read(config: Config) -> Autoencoder:
    """Return what the author's own program builds."""
    wide = TinyBlock(WIDTH, pooled=Pooled(WIDTH, 4 * WIDTH))
    coarsest = wide if config.holds("pool.0.weight", unknown=False) else None
    latents = config.integer("latent_channels", 4)
    return Autoencoder(
        3,
        latents,
        8,
        SIZE,
        encoder(3, latents, WIDTH, (1, 3, 3, 3), "relu", coarsest),
        decoder(3, latents, WIDTH, (3, 3, 3, 1), "relu", coarsest),
    )


def rules(spec: Autoencoder) -> Sequence[Rule]:
    """Return the author's names: the decoder's row begins with a bound that has no weights."""
    return (*network_rules(spec, "encoder"), *network_rules(spec, "decoder", first=1))


DIALECT = Dialect("taesd", read, rules)
