"""Attention whose keys and values are read off one narrow latent per token (DeepSeek-V2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.spec.parts import Linear, Norm, Part
from fathom.spec.positions import Rotary
from fathom.spec.roles import Role
from fathom.spec.state import StateArray


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-AI, 2024, arXiv 2405.04434, section 2.1).

    A head's key is `plain_width` dimensions read off the latent and as many turned ones, of
    `positions`' width, that all heads share; its value is `value_width` dimensions read off the
    latent. Queries come from the stream, or from a latent of their own. A token leaves behind
    its normed latent and its turned dimensions, and nothing per head.
    """

    width: int
    heads: int
    latent: int
    plain_width: int
    value_width: int
    positions: Rotary
    epsilon: float  # of the norms of both latents
    query_latent: int | None = None
    scale: float | None = None  # of the scores; (plain + rotary width) ** -0.5 unless said
    input_bias: bool = False  # on the maps to latents
    output_bias: bool = False

    @property
    def key_width(self) -> int:
        """Dimensions of one head's query and key."""
        return self.plain_width + self.positions.width

    def parts(self) -> Mapping[str, Part | None]:
        into, own = Role.INTO_HEADS, self.query_latent
        queries = self.heads * self.key_width
        kept = self.latent + self.positions.width
        return {
            "query": Linear(self.width, queries, into) if own is None else None,
            "query_down": Linear(self.width, own, Role.DENSE, self.input_bias) if own else None,
            "query_norm": Norm(own, self.epsilon) if own else None,
            "query_up": Linear(own, queries, into) if own else None,
            "latent_down": Linear(self.width, kept, Role.DENSE, self.input_bias),
            "latent_norm": Norm(self.latent, self.epsilon),
            "key_up": Linear(self.latent, self.plain_width, into, stack=self.heads),
            "value_up": Linear(self.latent, self.value_width, into, stack=self.heads),
            "output": Linear(
                self.heads * self.value_width, self.width, Role.OUT_OF_HEADS, self.output_bias
            ),
        }

    def state(self, context: int) -> tuple[StateArray, ...]:
        """What one sequence of `context` tokens leaves behind: one shared key per token.

        Its first `latent` dimensions are the latent, of which keys and values are read.
        """
        return (StateArray("key", (1, context, self.latent + self.positions.width)),)

    def operations(self, context: int) -> int:
        """Floating-point operations per token beside the maps, with `context` in reach.

        Of the absorbed form, by which single tokens attend: scores over the latent and the
        turned dimensions, then a sum of latents.
        """
        return 2 * self.heads * context * (2 * self.latent + self.positions.width)
