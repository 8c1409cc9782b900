"""A model that listens and answers: a tower that hears, one map, and a decoder that reads on.

Chu et al., 2024 (arXiv 2407.10759): what the tower hears of a sound stands in the prompt in places
of tokens, 25 of them to a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from fathom.spec.audio import FRAMES_PER_SECOND, SoundEncoder
from fathom.spec.decoder import Decoder
from fathom.spec.parts import Linear, Part
from fathom.spec.work import About, Stage, Work, passing
from fathom.spec.writing import USUAL_TOKENS, USUAL_WRITTEN, writing_stages


@dataclass(frozen=True)
class SpeechLanguage:
    """A tower whose states of a sound go through a map into a decoder's prompt.

    `placeholder` is the token in whose places they stand, once for each.
    """

    encoder: SoundEncoder
    connector: Linear
    decoder: Decoder
    placeholder: int

    def parts(self) -> Mapping[str, Part | None]:
        return {"encoder": self.encoder, "connector": self.connector, "decoder": self.decoder}

    @property
    def about(self) -> About:
        return About(
            "ALM",
            "a tower that hears, whose states stand in the prompt of a decoder that writes",
            ("text", "sound"),
            ("text",),
            ("chat",),
        )

    @property
    def context(self) -> int:
        return self.decoder.context

    @property
    def vocabulary(self) -> int:
        return self.decoder.vocabulary

    @property
    def usual(self) -> Work:
        """A question about a sound that fills the window."""
        return Work(
            seconds=self.encoder.seconds, frames=1, tokens=USUAL_TOKENS, written=USUAL_WRITTEN
        )

    def places(self, seconds: float) -> int:
        """Return how many places of a prompt a sound takes."""
        frames = min(ceil(seconds * FRAMES_PER_SECOND), self.encoder.frames)
        return self.encoder.length(frames)

    def taken(self, work: Work) -> Mapping[str, int]:
        """Return the places that a sound takes."""
        return {"sound": self.places(work.seconds or 0.0)}

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Three: hearing, reading the prompt with what was heard, and writing token by token.

        `frames` counts the sounds of a request. The tower hears whole windows, however short a
        sound is.
        """
        sounds = work.batch * (work.frames or 0)
        each = self.places(work.seconds or 0.0)
        heard = self.encoder.stage(sounds, 1)
        joined = passing(self.connector, sounds * self.encoder.length(self.encoder.frames))
        hearing = replace(
            heard,
            operations=heard.operations + joined,
            kept=sounds * each * self.connector.outputs,
        )
        read = (work.tokens or 0) + (work.frames or 0) * each
        return (hearing, *writing_stages(self.decoder, work.batch, read, work.written or 0))
