"""Models that read, see and hear, and write: two towers before one decoder.

Xu et al., 2025 (arXiv 2503.20215): what stands in the prompt may be pictures, videos and sound.
Sound is heard in pieces of some seconds, each by itself, of whatever length it is as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from fathom.spec.audio import FRAMES_PER_SECOND, SoundEncoder
from fathom.spec.parts import Linear, Part, Table
from fathom.spec.vision_language import VisionLanguage
from fathom.spec.work import About, Stage, Work, passing

TOGETHER = 15  # pieces that are heard at once: 30 seconds as published
USUAL_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Omni(VisionLanguage):
    """A model that sees, with a tower that hears beside.

    `voice` is the token in whose places stand the vectors of a sound: the tower's states through
    the map `hearing`. Two vectors more, `borders`, are stored and never asked.
    """

    encoder: SoundEncoder
    hearing: Linear
    voice: int

    def parts(self) -> Mapping[str, Part | None]:
        return {
            "vision": self.vision,
            "connector": self.connector,
            "encoder": self.encoder,
            "hearing": self.hearing,
            "borders": Table(2, self.hearing.outputs),
            "decoder": self.decoder,
        }

    @property
    def about(self) -> About:
        return About(
            "LMM",
            "towers that see and hear, whose states stand in the prompt of a decoder that writes",
            ("text", "picture", "video", "sound"),
            ("text",),
            ("chat", "generate"),
        )

    @property
    def usual(self) -> Work:
        """A question about a picture and a sound."""
        return replace(super().usual, seconds=USUAL_SECONDS)

    def pieces(self, frames: int) -> tuple[int, int]:
        """Return in how many whole pieces so many frames of sound are heard, and what is left."""
        return divmod(frames, self.encoder.frames)

    def voiced(self, frames: int) -> int:
        """Return how many places of a prompt so many frames of sound take."""
        whole, left = self.pieces(frames)
        return whole * self.encoder.length(self.encoder.frames) + self.encoder.length(left)

    def taken(self, work: Work) -> Mapping[str, int]:
        """Return the places that a picture takes, and a sound."""
        return {**super().taken(work), "sound": self.voiced(_frames(work))}

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Four: looking, hearing one sound, reading the prompt with both, and writing."""
        frames = _frames(work)
        places = self.voiced(frames)
        with_sound = replace(work, tokens=(work.tokens or 0) + places)
        looking, reading, writing = super().stages(with_sound)
        return looking, self._hearing(work.batch, frames), reading, writing

    def _hearing(self, batch: int, frames: int) -> Stage:
        encoder, places = self.encoder, self.voiced(frames)
        whole, left = self.pieces(frames)
        operations = encoder.operations(whole, encoder.frames) if whole else 0
        operations += encoder.operations(1, left) if encoder.length(left) else 0
        once = encoder.stage(max(1, min(whole, TOGETHER)), 1)
        vectors = places * self.hearing.outputs
        return Stage(
            "encoder",
            (encoder, self.hearing),
            operations + passing(self.hearing, places),
            passes=batch,
            live=once.live + frames * encoder.bands + places * encoder.width,
            kept=batch * vectors,
            rows=places,
            turns=max(1, -(-whole // TOGETHER) + (left > 0)),
        )


def _frames(work: Work) -> int:
    return ceil((work.seconds or 0.0) * FRAMES_PER_SECOND)
