"""A model of speech: it hears windows of sound and writes what was said, as text with times.

Radford et al., 2022 (arXiv 2212.04356).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from fathom.spec.audio import SoundEncoder
from fathom.spec.decoder import Output
from fathom.spec.encoder_decoder import CrossLayer, Stack
from fathom.spec.parts import Linear, Part
from fathom.spec.roles import Role
from fathom.spec.work import About, Stage, Work, passing

OPENING = 4  # tokens before a transcript: its start, the language, the task, whether with times
TOKENS_PER_SECOND = 4  # written of quick speech, times included
SCORED = 5  # arrays of the vocabulary's size, float32, at once: scores, their rules, logarithms


@dataclass(frozen=True)
class Speech:
    """A tower that hears and a decoder that writes. `context` bounds what is written at once."""

    context: int
    encoder: SoundEncoder
    decoder: Stack
    output: Output

    def parts(self) -> Mapping[str, Part | None]:
        return {"encoder": self.encoder, "decoder": self.decoder, "output": self.output}

    @property
    def layers(self) -> tuple[CrossLayer, ...]:
        """The layers of the decoder, each of which looks at what was heard."""
        return tuple(layer for layer in self.decoder.layers if isinstance(layer, CrossLayer))

    @property
    def width(self) -> int:
        return self.decoder.embedding.width

    @property
    def vocabulary(self) -> int:
        """Tokens that may be written."""
        return self.decoder.embedding.vocabulary

    @property
    def about(self) -> About:
        return About(
            "ASR",
            "a tower that hears windows of sound and a decoder that writes what was said",
            ("sound",),
            ("text", "times"),
            ("transcribe", "detect_language"),
        )

    @property
    def usual(self) -> Work:
        """One window of quick speech; `written` counts the tokens of a window's answer."""
        seconds = self.encoder.seconds
        written = min(self.context - OPENING, ceil(seconds * TOKENS_PER_SECOND))
        return Work(seconds=seconds, tokens=OPENING, written=written)

    def stages(self, work: Work) -> tuple[Stage, ...]:
        """Hear a window, begin to write about it, write on; then the next window."""
        usual = self.usual
        seconds = work.seconds or usual.seconds or 0.0
        opening, written = work.tokens or OPENING, work.written or usual.written or 1
        windows = max(1, ceil(seconds / self.encoder.seconds))
        heard = self.encoder.length(self.encoder.frames)
        hearing = self.encoder.stage(work.batch, windows)
        scores = SCORED * work.batch * self.vocabulary
        begun = work.batch * (
            heard * self._keys_operations()
            + opening * self._token_operations((opening + 1) // 2)
            + passing(self._scoring(), 1)
        )
        later = opening + (written + 1) // 2
        token = work.batch * (self._token_operations(later) + passing(self._scoring(), 1))
        inner = work.batch * heard * self.layers[0].cross.heads * self.layers[0].cross.head_width
        state = work.batch * sum(
            array.elements
            for layer in self.layers
            for array in (*layer.mixer.state(self.context), *layer.cross.state(heard))
        )
        return (
            hearing,
            Stage(
                "opening",
                self._passed(),
                begun,
                windows,
                max(2 * inner, scores),
                state,
                rows=work.batch * opening,
                attended=work.batch * opening * self._attended((opening + 1) // 2),
            ),
            Stage(
                "decoder",
                self._passed(),
                token,
                windows * (written - 1),
                scores,
                rows=work.batch,
                attended=work.batch * self._attended(later),
            ),
        )

    def _keys_operations(self) -> int:
        """Operations for keys and values of one position that was heard, in all layers."""
        maps = [layer.cross.parts() for layer in self.layers]
        return sum(passing(_present(each["key"], each["value"]), 1) for each in maps)

    def _token_operations(self, before: int) -> int:
        """Operations of one token in the layers, with so many before it, scores not counted."""
        total = 0
        for layer in self.layers:
            maps = layer.cross.parts()
            passed = _present(layer.mixer, maps["query"], maps["output"], layer.feed_forward)
            total += passing(passed, 1)
        return total + self._attended(before)

    def _attended(self, before: int) -> int:
        """Operations of one token that looks at those before it and at what was heard."""
        heard = self.encoder.length(self.encoder.frames)
        return sum(
            layer.mixer.operations(before) + layer.cross.operations(heard) for layer in self.layers
        )

    def _scoring(self) -> Part:
        """The matrix that turns a hidden state into scores: its own, or the table of tokens."""
        return Linear(self.width, self.vocabulary, Role.HEAD)

    def _passed(self) -> Part:
        """What one token passes: not the keys and values of what was heard, which are kept."""
        layers = tuple(
            _present(
                layer.mixer,
                layer.cross.parts()["query"],
                layer.cross.parts()["output"],
                layer.feed_forward,
            )
            for layer in self.layers
        )
        return (*layers, self._scoring())


def _present(*parts: Part | None) -> tuple[Part, ...]:
    return tuple(part for part in parts if part is not None)
