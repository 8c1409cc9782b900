"""What an encoder's hidden states are turned into: tokens, labels, spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fathom.spec.decoder import Output
from fathom.spec.feed_forward import Activation
from fathom.spec.parts import Linear, Norm, Part
from fathom.spec.roles import Role

Labelling: TypeAlias = Literal["one", "several", "number"]


@dataclass(frozen=True)
class Transform:
    """``norm(activation(dense(x)))``: the step that many heads take before they score."""

    width: int
    activation: Activation
    norm: Norm | None = None
    bias: bool = True

    def parts(self) -> Mapping[str, Part | None]:
        dense = Linear(self.width, self.width, Role.DENSE, self.bias)
        return {"dense": dense, "norm": self.norm}


@dataclass(frozen=True)
class SummaryHead:
    """One vector per text from its first token, as BERT was trained to give; few tasks use it."""

    transform: Transform

    def parts(self) -> Mapping[str, Part | None]:
        return {"transform": self.transform}


@dataclass(frozen=True)
class MaskedHead:
    """A score per token of the vocabulary at every place: what a mask stands for."""

    transform: Transform
    output: Output

    def parts(self) -> Mapping[str, Part | None]:
        return {"transform": self.transform, "output": self.output}


@dataclass(frozen=True)
class SequenceHead:
    """A score per label for a whole text.

    The text is read from its first token or from the mean of all. `kind` says how scores are
    meant: one label of several, each label by itself, or plain numbers. `labels` are the
    publisher's names in order; a single one makes a scorer of pairs (a reranker) or a regression.
    """

    width: int
    labels: tuple[str, ...]
    kind: Labelling
    transform: Transform | None
    reads: Literal["first", "mean"] = "first"

    def parts(self) -> Mapping[str, Part | None]:
        scores = Linear(self.width, len(self.labels), Role.HEAD, bias=True)
        return {"transform": self.transform, "scores": scores}


@dataclass(frozen=True)
class TokenHead:
    """A score per label for each token: names, parts of speech."""

    width: int
    labels: tuple[str, ...]
    transform: Transform | None = None

    def parts(self) -> Mapping[str, Part | None]:
        scores = Linear(self.width, len(self.labels), Role.HEAD, bias=True)
        return {"transform": self.transform, "scores": scores}


@dataclass(frozen=True)
class SpanHead:
    """Two scores for each token: that an answer begins there, and that it ends there."""

    width: int
    transform: Transform | None = None

    def parts(self) -> Mapping[str, Part | None]:
        scores = Linear(self.width, 2, Role.HEAD, bias=True)
        return {"transform": self.transform, "scores": scores}


Head: TypeAlias = SummaryHead | MaskedHead | SequenceHead | TokenHead | SpanHead
