"""What turns an encoder's hidden states into tokens, labels and spans."""

from __future__ import annotations

from torch import Tensor

from fathom.blocks.bricks import Linear, Norm, Table
from fathom.blocks.build import Block
from fathom.blocks.embedding import Output
from fathom.blocks.state import Step
from fathom.ops.activation import ACTIVATIONS
from fathom.ops.pooling import POOLINGS
from fathom.spec import heads as spec


class Transform(Block):
    """``norm(activation(dense(x)))``."""

    dense: Linear
    norm: Norm | None

    def __init__(self, described: spec.Transform) -> None:
        super().__init__(described)
        self.activation = ACTIVATIONS[described.activation]

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.dense(x))
        return x if self.norm is None else self.norm(x)


class SummaryHead(Block):
    """Hidden states (batch, length, width) → one vector per text, (batch, width)."""

    transform: Transform

    def forward(self, x: Tensor, step: Step, table: Table) -> Tensor:
        return self.transform(POOLINGS["first"](x, step.positions))


class MaskedHead(Block):
    """Hidden states → scores of tokens, (batch, length, vocabulary)."""

    transform: Transform
    output: Output

    def forward(self, x: Tensor, step: Step, table: Table) -> Tensor:
        return self.output(self.transform(x), table)


class SequenceHead(Block):
    """Hidden states → scores of labels, (batch, labels)."""

    transform: Transform | None
    scores: Linear

    def __init__(self, described: spec.SequenceHead) -> None:
        super().__init__(described)
        self.reads = POOLINGS[described.reads]

    def forward(self, x: Tensor, step: Step, table: Table) -> Tensor:
        x = self.reads(x, step.positions)
        return self.scores(x if self.transform is None else self.transform(x))


class TokenHead(Block):
    """Hidden states → scores per token: of labels, or of beginning and ending an answer."""

    transform: Transform | None
    scores: Linear

    def __init__(self, described: spec.TokenHead | spec.SpanHead) -> None:
        super().__init__(described)

    def forward(self, x: Tensor, step: Step, table: Table) -> Tensor:
        return self.scores(x if self.transform is None else self.transform(x))
